//! How: the only code that touches JavaScript. Parses options, drives the engine, wraps results.
