//! ConfigMaps.

use super::Page;
use kube_api::ConfigMap;

pub(super) fn config_map(page: &mut Page<'_>, o: &ConfigMap) {
    page.head(&o.metadata);
    page.labels("Labels", &o.metadata.labels, "");
    page.annotations(&o.metadata.annotations);
    page.line(0, "\nData\n====");
    for (key, value) in &o.data {
        page.line(0, &format!("{key}:\n----\n{value}\n"));
    }
    page.line(0, "\nBinaryData\n====");
    for (key, value) in &o.binary_data {
        // Base64: three bytes in four letters.
        let padding = value.bytes().rev().take_while(|b| *b == b'=').count().min(2);
        let bytes = (value.len() / 4 * 3).saturating_sub(padding);
        page.line(0, &format!("{key}: {bytes} bytes"));
    }
    page.line(0, "");
    page.events("ConfigMap", &o.metadata);
}
