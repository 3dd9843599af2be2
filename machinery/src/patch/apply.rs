//! Server-side apply: the merge of a configuration into a live object.
