//! What a production controller needs beyond kube-runtime.
