//! Steersman's own custom resource types.
