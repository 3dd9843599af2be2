//! What crosses crates: see the files beside `src`.
