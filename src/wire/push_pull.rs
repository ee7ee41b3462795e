//! The frames of the push-pull contract over a WebSocket (seed 002). Records and results are the app's own and
//! pass through as JavaScript made them; only the envelope and the validators' rules are ours.
