// Two clocks. Service time comes from the heartbeat and may run faster than the wall; every duration of
// the service (waiting, status) is counted on it. The age of data is always wall time.

class Clock {
  /** Service time in milliseconds, refreshed each wall second. */
  now = $state(Date.now());
  speed = $state(1);
  private served = Date.now();
  private heardAt = performance.now();

  hear(at: string, speed: number): void {
    const served = Date.parse(at);
    if (Number.isNaN(served)) return;
    this.served = served;
    this.heardAt = performance.now();
    this.speed = speed > 0 ? speed : 1;
    this.now = served;
  }

  tick(): void {
    this.now = this.served + (performance.now() - this.heardAt) * this.speed;
  }
}

export const clock = new Clock();

/** Keeps the clock going between heartbeats; call the answer to stop it. */
export function startClock(): () => void {
  const timer = setInterval(() => clock.tick(), 1000);
  return () => clearInterval(timer);
}
