//! A Kubernetes control plane with nodes in one process, for tests and for kubectl.
