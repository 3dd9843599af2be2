//! Simulated nodes: thousands of kubelets in one process.
