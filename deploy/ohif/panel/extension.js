// The OHIF extension: registers the panel and keeps it on the study of the active viewport.
//
// OHIF loads this module by its address (app-config.js, `extensions`) and shows the panel by its name
// (`customizationService`, phase `mode`). OHIF draws with React, which its build keeps to itself; one element is
// all that is needed here, so it is written down as React 18 writes it (react.dev, createElement: an element is a
// plain object). A React with another mark draws nothing; the viewer test would notice.
import { csrfValue } from './facade.js';
import { ResultPanel } from './panel.js';
import { language, texts } from './texts.js';

const ID = 'neuronova';
const PANEL = `${ID}.panelModule.results`;

function activeStudy({ viewportGridService, displaySetService }) {
  const { activeViewportId, viewports } = viewportGridService.getState();
  const [shown] = viewports?.get(activeViewportId)?.displaySetInstanceUIDs ?? [];
  if (shown) return displaySetService.getDisplaySetByUID(shown)?.StudyInstanceUID ?? '';
  // Before the first image is there, the address says which study is being opened.
  const asked = new URLSearchParams(window.location.search).getAll('StudyInstanceUIDs').join().split(',');
  return asked.length === 1 ? asked[0] : '';
}

// What the viewer stores (measurements as DICOM SR, by STOW-RS) is an unsafe request by the session's cookie, so it
// carries the session's CSRF value. OHIF's data source has no place for a header of ours but the request itself.
const guarded = new WeakSet();

function guardStore(store) {
  if (guarded.has(store)) return;
  guarded.add(store);
  const { dicom } = store;
  store.dicom = async (dataset, request, ...rest) => {
    const csrf = await csrfValue();
    const own = request ?? new XMLHttpRequest();
    const { open } = own;
    own.open = (...where) => {
      open.apply(own, where);
      own.setRequestHeader('X-CSRF-Token', csrf);
    };
    return dicom(dataset, own, ...rest);
  };
}

// A head's first slice is air: where a layout does not say otherwise (the one of a single series does), a stack
// opens at its middle.
function openInTheMiddle({ hangingProtocolService }) {
  for (const { stages = [], defaultViewport } of hangingProtocolService.getProtocols()) {
    for (const viewport of [defaultViewport, ...stages.flatMap(stage => stage.viewports ?? [])]) {
      if (viewport?.viewportOptions) viewport.viewportOptions.initialImageOptions ??= { preset: 'middle' };
    }
  }
}

export default {
  id: ID,

  preRegistration() {
    customElements.define('neuronova-results', ResultPanel);
  },

  // Some modes begin with the right-hand side closed: a result that nobody opens is a result that nobody reads.
  onModeEnter({ servicesManager, extensionManager }) {
    guardStore(extensionManager.getActiveDataSource()[0].store);
    openInTheMiddle(servicesManager.services);
    const { hangingProtocolService, panelService } = servicesManager.services;
    const { unsubscribe } = hangingProtocolService.subscribe(hangingProtocolService.EVENTS.PROTOCOL_CHANGED, () => {
      unsubscribe();
      panelService.activatePanel(PANEL, true);
    });
  },

  getPanelModule({ servicesManager }) {
    const { services } = servicesManager;
    ResultPanel.study = () => activeStudy(services);
    const { EVENTS } = services.viewportGridService;
    for (const event of [EVENTS.ACTIVE_VIEWPORT_ID_CHANGED, EVENTS.GRID_STATE_CHANGED]) {
      services.viewportGridService.subscribe(event, () => window.dispatchEvent(new Event('neuronova-study')));
    }
    const element = {
      $$typeof: Symbol.for('react.element'),
      type: 'neuronova-results',
      key: null,
      ref: null,
      props: {},
      _owner: null,
    };
    const { title } = texts(language());
    const panel = { iconName: 'tab-patient-info', iconLabel: title, label: title };
    return [{ ...panel, name: 'results', component: () => element }];
  },
};
