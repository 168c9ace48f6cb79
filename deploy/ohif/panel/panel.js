// <neuronova-results>: the AI results of the study on the screen, and what this person may do with them.
//
// Nothing of one study stays on the screen beside another: the panel is emptied before it asks. An act is open on
// exactly what is shown: when that changes meanwhile, the form closes and the person is told.
import { Refused, listen, results, review, sign } from './facade.js';
import { article, h } from './result.js';
import { isChangedSinceReview, stateOf } from './state.js';
import { language, texts } from './texts.js';

const STYLE = new URL('./panel.css', import.meta.url).href;
const TOGETHER_MS = 300; // a transaction is told as several changes
const LOGIN_TOO_OLD = 'ERR_007';
const STALE = 'ERR_301';

export class ResultPanel extends HTMLElement {
  static study = () => '';

  connectedCallback() {
    this.lang = language();
    this.t = texts(this.lang);
    this.told = h('div', { role: 'status', class: 'told' });
    this.body = h('div', {});
    const refresh = h('button', { type: 'button', class: 'quiet', onclick: () => this.load() }, this.t.refresh);
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
    root.replaceChildren(
      h('link', { rel: 'stylesheet', href: STYLE }),
      h('section', { 'aria-label': this.t.title }, h('header', {}, h('h2', {}, this.t.title), refresh), this.told, this.body)
    );
    // What is typed here is no shortcut of the viewer, which cannot see into a shadow tree.
    for (const kind of ['keydown', 'keyup', 'keypress']) root.addEventListener(kind, event => event.stopPropagation());
    this.onStudy = () => ResultPanel.study() !== this.study && this.open();
    this.onVisible = () => document.visibilityState === 'visible' && this.load();
    window.addEventListener('neuronova-study', this.onStudy);
    document.addEventListener('visibilitychange', this.onVisible);
    this.stop = listen(change => this.onNews(change));
    this.open();
  }

  disconnectedCallback() {
    this.stop();
    clearTimeout(this.timer);
    this.asked = null;
    window.removeEventListener('neuronova-study', this.onStudy);
    document.removeEventListener('visibilitychange', this.onVisible);
  }

  open() {
    this.study = ResultPanel.study();
    this.shown = null;
    this.tell('');
    this.body.replaceChildren(h('p', {}, this.t.loading));
    this.load();
  }

  async load() {
    if (!this.study) return;
    const asked = (this.asked = {});
    try {
      const found = await results(this.study);
      if (asked === this.asked) this.show(found);
    } catch (error) {
      if (asked === this.asked) this.showError(error);
    }
  }

  // News of other studies are not ours; a Task that is not known yet may be the one that is waited for.
  onNews(change) {
    const parts = this.shown?.results.flatMap(({ task, report }) => [task, report]) ?? [];
    const isOurs = parts.some(part => part?.id === change?.id) || this.shown?.study.reference.endsWith(`/${change?.id}`);
    const isAwaited = change?.type === 'Task' && !parts.some(part => part?.resourceType === 'DiagnosticReport');
    if (change && !isOurs && !isAwaited) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), TOGETHER_MS);
  }

  show(found) {
    const { t, lang } = this;
    if (JSON.stringify(found) === JSON.stringify(this.shown)) return; // a form that is open stays open
    if (this.body.querySelector('form')) this.tell(t.changed);
    this.shown = found;
    const [newest, ...earlier] = found.results;
    this.body.replaceChildren(
      newest ? article(newest, t, lang, this.actions(newest)) : h('p', { 'data-state': 'none' }, t.none),
      ...(earlier.length
        ? [h('details', {}, h('summary', {}, `${t.earlier} (${earlier.length})`), ...earlier.map(one => article(one, t, lang)))]
        : [])
    );
  }

  showError(error) {
    const { t } = this;
    this.shown = null;
    const status = error instanceof Refused ? error.status : 0;
    const said = { 401: t.loggedOut, 403: t.noRight, 404: t.notFound }[status] ?? t.unreachable;
    this.body.replaceChildren(h('p', { 'data-state': `error-${status}` }, said), status === 401 ? this.loginLink() : '');
  }

  tell(...said) {
    this.told.replaceChildren(...said);
  }

  loginLink() {
    const here = window.location.pathname + window.location.search;
    return h('a', { href: `/auth/login?next=${encodeURIComponent(here)}` }, this.t.logIn);
  }

  actions(result) {
    const state = stateOf(result);
    const { $review, $sign } = result.operations;
    const offered = [];
    const isOutdated = state === 'approved' && isChangedSinceReview(result);
    if ((state === 'preliminary' || isOutdated) && $review === null) offered.push('approve', 'reject');
    if (state === 'approved' && !isOutdated && $sign === null) offered.push('sign');
    const tooOld = state === 'approved' && !isOutdated && $sign === LOGIN_TOO_OLD;
    if (tooOld) return [h('p', {}, this.t.loginTooOld), this.loginLink()];
    if (!offered.length) return [];
    const place = h('div', { class: 'acts' });
    const buttons = offered.map(act => {
      const open = () => place.replaceChildren(this.form(result, act, close));
      const close = () => {
        place.replaceChildren(...buttons);
        button.focus();
      };
      const button = h('button', { type: 'button', class: act, onclick: () => (open(), place.querySelector('input, textarea').focus()) }, this.t[act]);
      return button;
    });
    place.append(...buttons);
    return [place];
  }

  // A second, deliberate step: the box has to be ticked, and a rejection has a reason.
  form(result, act, close) {
    const { t } = this;
    const reason = h('textarea', { id: 'reason', rows: 3, maxlength: 1000, required: true });
    const seen = h('input', { id: 'seen', type: 'checkbox', required: true });
    const fields =
      act === 'reject'
        ? [h('label', { for: 'reason' }, t.rejectReason), reason]
        : [h('label', { for: 'seen', class: 'tick' }, seen, t.seen)];
    const confirm = { approve: t.confirmApprove, reject: t.confirmReject, sign: t.confirmSign }[act];
    const submit = h('button', { type: 'submit', class: act }, confirm);
    const onsubmit = event => {
      event.preventDefault();
      submit.disabled = true;
      this.act(result, act, act === 'reject' ? reason.value.trim() : undefined);
    };
    const cancel = h('button', { type: 'button', class: 'quiet', onclick: close }, t.cancel);
    return h('form', { onsubmit, 'aria-label': confirm }, ...fields, submit, cancel);
  }

  async act(result, act, reason) {
    const { t } = this;
    const study = this.study;
    let said;
    try {
      await (act === 'sign' ? sign(result) : review(result, act, reason));
      said = [t.done[act]];
    } catch (error) {
      const code = error instanceof Refused ? error.code : undefined;
      if (code === STALE) said = [t.changed];
      else if (code === LOGIN_TOO_OLD) said = [t.loginTooOld, ' ', this.loginLink()];
      else if (error.status === 401) said = [t.loggedOut, ' ', this.loginLink()];
      else said = [error instanceof Refused ? error.message : t.unreachable];
    }
    if (study !== this.study) return;
    // Draw anew from what is stored now, whatever was answered: an answer that got lost is no reason to ask twice.
    this.body.replaceChildren(h('p', {}, t.loading));
    this.shown = null;
    this.tell(...said);
    await this.load();
  }
}
