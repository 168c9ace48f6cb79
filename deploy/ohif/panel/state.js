// In which state of its life a result is, told from its Task and its report alone (docs/reports.md).

const REVIEW = 'urn:neuronova:review';
const OUTPUT = 'urn:neuronova:task-output';
const RELEASED = ['final', 'amended', 'corrected', 'appended'];

const codeOf = (concept, system) => concept?.coding?.find(coding => coding.system === system)?.code;

export function stateOf({ task, report, problem }) {
  if (problem) return 'broken';
  if (report?.status === 'entered-in-error') return 'withdrawn';
  if (RELEASED.includes(report?.status)) return report.status;
  const review = codeOf(task?.businessStatus, REVIEW);
  if (report?.status === 'cancelled') return 'rejected';
  if (report) return review === 'approved' ? 'approved' : 'preliminary';
  if (task?.status === 'failed') return 'failed';
  if (task?.status === 'rejected') return 'unsuitable';
  return 'running';
}

// Whether something in the result is another thing than what was approved last: then it is reviewed again.
export function isChangedSinceReview({ task, content }) {
  const reviewed = task?.output?.findLast(output => codeOf(output.type, OUTPUT) === 'reviewed-content');
  return Boolean(reviewed) && reviewed.valueString !== content;
}

export function findings({ observations }) {
  return observations.map(observation => ({
    code: observation.code?.coding?.[0]?.code ?? '',
    title: observation.code?.text ?? observation.code?.coding?.[0]?.display ?? '',
    value: observation.valueQuantity?.value,
    unit: observation.valueQuantity?.unit ?? '',
    confidence: observation.component?.find(part => part.code?.coding?.some(c => c.code === 'confidence'))
      ?.valueQuantity?.value,
  }));
}

export function isNotForClinicalUse({ device, observations }) {
  const said = [...(device?.safety ?? []), ...observations.flatMap(one => one.note ?? [])];
  return said.some(({ text }) => /not for clinical use/i.test(text ?? ''));
}
