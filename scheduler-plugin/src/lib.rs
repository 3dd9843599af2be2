//! A scheduler framework with kube-scheduler's extension points and plugins.
