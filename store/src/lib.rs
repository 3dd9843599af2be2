//! A revisioned key-value store with watch: etcd's part.
