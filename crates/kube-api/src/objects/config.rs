//! ConfigMap (`staging/src/k8s.io/api/core/v1/types.go`).

use super::{ObjectMeta, StringMap};
use serde::{Deserialize, Serialize};

/// Texts for Pods to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// Texts by key.
    pub data: StringMap,
    /// Bytes by key, in base64.
    pub binary_data: StringMap,
    /// Whether neither may change any more.
    pub immutable: Option<bool>,
}
