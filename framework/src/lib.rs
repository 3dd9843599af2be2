//! What a production controller needs beyond kube-runtime: clocks, shutdown, work queues, ownership, events.

pub mod clock;
pub mod runtime;
