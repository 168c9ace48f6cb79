// What the panel asks of the product, by the browser's own session: the results of one study, review and signature,
// and the news that something has changed. No address outside this origin, nothing kept.

export class Refused extends Error {
  constructor(status, code, text) {
    super(text || code || String(status));
    this.status = status;
    this.code = code;
  }
}

async function answered(response) {
  if (response.ok) return response.json();
  const issue = (await response.json().catch(() => ({}))).issue?.[0];
  throw new Refused(response.status, issue?.details?.coding?.[0]?.code, issue?.details?.text);
}

export async function results(study) {
  return answered(await fetch(`/viewer/studies/${encodeURIComponent(study)}/results`, { cache: 'no-store' }));
}

export async function csrfValue() {
  return (await answered(await fetch('/auth/me', { headers: { Accept: 'application/json' }, cache: 'no-store' }))).csrf;
}

// The CSRF value is read at the moment of the act: after a new login in another tab it is another one.
async function operate(resource, operation, parameters) {
  const headers = {
    'Content-Type': 'application/fhir+json',
    'If-Match': `W/"${resource.meta.versionId}"`,
    'X-CSRF-Token': await csrfValue(),
  };
  const body = JSON.stringify({ resourceType: 'Parameters', parameter: parameters });
  const address = `/fhir/${resource.resourceType}/${resource.id}/${operation}`;
  return answered(await fetch(address, { method: 'POST', headers, body }));
}

// Both name what stood on the screen: the version and the fingerprint of all of it.
export function review({ task, report, content }, decision, reason) {
  const shown = `DiagnosticReport/${report.id}/_history/${report.meta.versionId}`;
  const parameters = [
    { name: 'decision', valueCode: decision },
    { name: 'report', valueReference: { reference: shown } },
    { name: 'content', valueString: content },
  ];
  if (reason) parameters.push({ name: 'reason', valueString: reason });
  return operate(task, '$review', parameters);
}

export function sign({ report, content }) {
  return operate(report, '$sign', [{ name: 'content', valueString: content }]);
}

// Calls back with {type, id} of what changed, and with null when the connection is there again after a gap.
export function listen(told) {
  const RIGHTS_ENDED = 1008;
  const LONGEST_WAIT_MS = 30_000;
  let wait = 1000;
  let socket;
  let timer;
  let isOver = false;
  const open = () => {
    socket = new WebSocket(`${window.location.origin.replace(/^http/, 'ws')}/ws/notifications`);
    socket.onopen = () => {
      if (wait > 1000) told(null);
      wait = 1000;
    };
    socket.onmessage = message => told(JSON.parse(message.data));
    socket.onclose = ({ code }) => {
      if (isOver || code === RIGHTS_ENDED) return;
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
  };
  open();
  return () => {
    isOver = true;
    clearTimeout(timer);
    socket.close();
  };
}
