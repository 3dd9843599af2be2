//! The Deployment, ReplicaSet, garbage-collector and namespace controllers.
