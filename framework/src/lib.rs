//! What a production controller needs beyond kube-runtime: clocks, shutdown, informers, work queues, the worker loop,
//! a guard against stale caches, ownership (adopt and release), and events.
//!
//! A controller is put together from four parts:
//!
//! 1. [`informer::Informers`] hands out one shared [`informer::Informer`] a resource: a local, ordered, indexed cache
//!    that is fed by list and watch;
//! 2. handlers on the informers put keys into a [`queue::WorkQueue`];
//! 3. [`controller::run`] takes the keys out, one worker a key, and calls the controller's `sync`;
//! 4. `sync` reads the caches, plans, and writes through an [`api::Api`].
//!
//! Everything runs on the calling task and is deterministic under a paused current-thread runtime.

pub mod api;
pub mod clock;
pub mod consistency;
pub mod controller;
pub mod discovery;
pub mod events;
pub mod informer;
pub mod meta;
pub mod ownership;
pub mod queue;
pub mod reflector;
pub mod runtime;
pub mod selector;
