// The count of tests, and the line that every test script ends with.
export class Tally {
  passed = 0;
  /** @type {string[]} */
  failed = [];
  /** @type {string[]} */
  skipped = [];

  pass(count = 1) {
    this.passed += count;
  }

  fail(name) {
    this.failed.push(name);
  }

  skip(name, reason) {
    this.skipped.push(reason ? `${name}: ${reason}` : name);
  }

  /** Name what was skipped and what failed, then the counts. Returns the exit code. */
  print() {
    for (const name of this.skipped) console.log(`skipped: ${name}`);
    for (const name of this.failed) console.log(`failed: ${name}`);
    console.log(`${this.passed} passed, ${this.failed.length} failed, ${this.skipped.length} skipped`);
    return this.failed.length === 0 ? 0 : 1;
  }
}
