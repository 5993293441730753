//! `behaviour/<suite>.yaml`: upstream's own test tables as data.

use super::{Report, conntrack, deployment, dns, endpointslice, packetflow, replicaset, topology};
use crate::rules;
use kube_api::yaml;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A file of cases.
#[derive(Deserialize)]
pub struct Table {
    suite: String,
    #[serde(default)]
    fixture: Value,
    count: Option<usize>,
    cases: Vec<Map<String, Value>>,
}

impl Table {
    /// Reads a table.
    pub fn read(text: &str) -> Result<Table, String> {
        let tree = yaml::load(text).into_iter().next().ok_or("the file is empty")?;
        let tree = tree.map_err(|d| format!("{}:{}: {}", d.span.line, d.span.column, d.message))?;
        yaml::from_tree(&tree).map_err(|d| format!("{}:{}: {}", d.span.line, d.span.column, d.message))
    }
    /// What its cases have in common.
    pub fn fixture<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_value(self.fixture.clone()).map_err(|e| format!("fixture: {e}"))
    }
    /// The cases with their names; one more that fails if some are missing.
    pub fn cases(self, file: &Path) -> Vec<(String, Map<String, Value>)> {
        let missing = self.count.is_some_and(|count| count != self.cases.len());
        let mut named = Vec::with_capacity(self.cases.len());
        for (i, mut raw) in self.cases.into_iter().enumerate() {
            let name = match raw.remove("name") {
                Some(Value::String(name)) => name,
                _ => format!("case {}", i + 1),
            };
            named.push((name, raw));
        }
        if missing {
            let name = format!("{}: the number of cases is not its count", file.display());
            named.push((name, Map::new()));
        }
        named
    }
}

/// A case without the keys that explain.
pub fn case<T: DeserializeOwned>(mut raw: Map<String, Value>) -> Result<T, String> {
    for key in ["note", "origin", "source"] {
        raw.remove(key);
    }
    serde_json::from_value(Value::Object(raw)).map_err(|e| e.to_string())
}

/// Runs the tables among some files.
pub fn run(files: &[PathBuf], report: &mut Report) {
    let tables = files.iter().filter(|f| f.parent().and_then(Path::file_name).is_some_and(|d| d == "behaviour"));
    for file in tables.filter(|f| f.extension().is_some_and(|e| e == "yaml")) {
        let table = rules::read(file).map_err(|e| e.to_string()).and_then(|text| Table::read(&text));
        match table {
            Ok(table) if table.suite == "conntrack" => conntrack::run(file, table, report),
            Ok(table) if table.suite == "deployment-rolling" => deployment::run(file, table, report),
            Ok(table) if table.suite == "dns" => dns::run(file, table, report),
            Ok(table) if table.suite == "endpointslice" => endpointslice::run(file, table, report),
            Ok(table) if table.suite == "packetflow" => packetflow::run(file, table, report),
            Ok(table) if table.suite == "replicaset-ranking" => replicaset::run(file, table, report),
            Ok(table) if table.suite == "topology" => topology::run(file, table, report),
            Ok(_) => {}
            Err(why) => report.case("behaviour", &file.display().to_string(), Err(why)),
        }
    }
}
