// The viewer's settings: one data source, the facade's DICOMweb on the same origin. The browser's own session
// cookie carries the login, so that no token is ever in an address or in a script.
window.config = {
  name: 'neuronova',
  routerBasename: '/pacs-viewer',
  // The product's own panel (panel/extension.js), first of the right-hand panels in every mode.
  extensions: ['/pacs-viewer/neuronova/extension.js'],
  modes: [],
  customizationService: {
    global: { 'ohif.tours': { $set: [] } },
    mode: { '*': { rightPanels: { $unshift: ['neuronova.panelModule.results'] } } },
  },
  showStudyList: true,
  // Whose images these are stands above them.
  showPatientInfo: 'visible',
  maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  showErrorDetails: 'production',
  investigationalUseDialog: { option: 'never' },
  // A segmentation that somebody opens is drawn at once; the report, not a dialog, is where it is judged.
  disableConfirmationPrompts: true,
  // Without a session the viewer is of no use: log in, then come back to the same study.
  httpErrorHandler: function (error) {
    if (error && error.status === 401) {
      const here = window.location.pathname + window.location.search;
      window.location.assign('/auth/login?next=' + encodeURIComponent(here));
    }
  },
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 10 },
  defaultDataSourceName: 'neuronova',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'neuronova',
      configuration: {
        friendlyName: 'NeuroNova',
        name: 'neuronova',
        qidoRoot: window.location.origin + '/dicom-web',
        wadoRoot: window.location.origin + '/dicom-web',
        wadoUriRoot: window.location.origin + '/dicom-web',
        qidoSupportsIncludeField: false,
        imageRendering: 'wadors',
        // Thumbnails are decoded in the browser: nothing on the server renders HTJ2K to JPEG.
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: false,
        staticWado: false,
        singlepart: 'bulkdata,video',
        // A bare frame is carried by nginx; an envelope would be made by the product for each frame.
        acceptHeader: [
          'image/jphc',
          'application/octet-stream; transfer-syntax=*; q=0.8',
          'multipart/related; type=application/octet-stream; transfer-syntax=*; q=0.5',
        ],
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: false },
      },
    },
  ],
};
