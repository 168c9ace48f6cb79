// Draws one result. Text goes in as text, never as markup.
import { findings, isChangedSinceReview, isNotForClinicalUse, stateOf } from './state.js';

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

// Every digit that is stored: what is shown is what is signed.
const number = (value, lang) => (value === undefined ? '–' : value.toLocaleString(lang, { maximumFractionDigits: 20 }));

function table(result, t, lang) {
  const head = h('tr', {}, ...[t.region, t.volume, t.confidence].map(name => h('th', { scope: 'col' }, name)));
  const rows = findings(result).map(({ code, title, value, unit, confidence }) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, t.finding[code] ?? title),
      h('td', {}, `${number(value, lang)} ${unit}`),
      h('td', {}, number(confidence, lang))
    )
  );
  return h('table', {}, h('thead', {}, head), h('tbody', {}, ...rows));
}

function facts({ device, report }, t, lang) {
  const version = device?.version?.find(({ type }) => type?.text === 'bundle')?.value;
  const name = device?.deviceName?.[0]?.name;
  const rows = [
    [t.algorithm, name && [name, version].filter(Boolean).join(' ')],
    [t.signedAt, report.issued && new Date(report.issued).toLocaleString(lang)],
    [t.version, report.meta?.versionId],
  ];
  const shown = rows.filter(([, value]) => value).map(([label, value]) => h('div', {}, h('dt', {}, label), h('dd', {}, value)));
  return h('dl', {}, ...shown);
}

// `actions`: the buttons and the form of what this person may do with the result.
export function article(result, t, lang, actions = []) {
  const state = stateOf(result);
  const { task, report } = result;
  const isShown = report && state !== 'withdrawn' && state !== 'broken';
  const reason = task?.statusReason?.text;
  return h(
    'article',
    { 'data-state': state },
    h('p', { class: 'state' }, t.state[state]),
    t.about[state] ? h('p', {}, t.about[state]) : null,
    reason ? h('p', {}, h('strong', {}, `${t.reason}: `), reason) : null,
    isShown && isNotForClinicalUse(result) ? h('p', { class: 'warning' }, t.notForClinicalUse) : null,
    isShown && result.observations.length ? table(result, t, lang) : null,
    isShown && result.observations.length ? h('p', { class: 'hint' }, t.confidenceNote) : null,
    isShown ? facts(result, t, lang) : null,
    isShown && report.conclusion
      ? h('details', {}, h('summary', {}, t.conclusion), h('p', { lang: 'en' }, report.conclusion))
      : null,
    state === 'approved' && isChangedSinceReview(result)
      ? h('p', { class: 'warning' }, t.changedSinceReview)
      : null,
    ...actions
  );
}
