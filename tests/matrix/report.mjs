// What a run has seen. PLACEHOLDER
export class Report {
  engine() {}
  watch(row, engine, body) { return body(); }
}
