//! The ReplicaSet controller against the API: every test of `k8s.io/kubernetes/test/integration/replicaset` and
//! `k8s.io/kubernetes/test/e2e/apps/replica_set.go`, under its name there.

mod loop_replicaset {
    mod lifecycle;
    mod owning;
    mod replacement;
    mod scaling;
    mod status;
}
