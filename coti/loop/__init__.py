"""Algorithm 1, once: pure functions over one state, a file a station, and
:mod:`coti.loop.learn`, which calls them in order in one process."""
