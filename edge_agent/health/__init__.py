"""How each part is doing: source states, gaps, counters, the clock, the watchdog."""
