//! Objects as text: `-o yaml`, `-o json`, `-o jsonpath=…`, `-o custom-columns=…`.

pub mod json;
pub mod jsonpath;
pub mod yaml;
