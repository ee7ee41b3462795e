//! What to do: pure state machines, fed with `Input`s and drained of `Output`s. No clock, no randomness, no
//! JavaScript, no IO: time and random numbers arrive as arguments.
