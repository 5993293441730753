//! What the editor asks: mistakes with their fixes, what can be written, what a word means.

use engine::Engine;
use lab_protocol::{Reply, Request};

#[test]
fn help_while_one_writes() {
    let mut engine = Engine::new();
    let mut one = |request| engine.handle(request).into_iter().next();
    let yaml =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports: [{port: \"80\"}]\n  \n".to_owned();
    let check = one(Request::Check { ticket: 1, yaml: yaml.clone() });
    let Some(Reply::Checked { ticket: 1, diagnostics, fixes }) = check else { panic!("{check:?}") };
    assert_eq!(fixes[0].title.id, "fix-unquote");
    assert_eq!(diagnostics[fixes[0].diagnostic as usize].line, fixes[0].edits[0].line);

    let ask = |ticket| Request::Complete { ticket, yaml: yaml.clone(), line: 6, column: 3 };
    let Some(Reply::Completed { ticket: 2, column: 3, suggestions, reference: false }) = one(ask(2)) else { panic!() };
    assert!(suggestions.iter().any(|s| s.label == "selector" && s.field && s.description.is_empty()));
    // Once told what fields mean, it knows.
    assert_eq!(one(Request::Reference { text: "ServiceSpec The spec.\n\tselector Who is meant.\n".into() }), None);
    let Some(Reply::Completed { suggestions, reference: true, .. }) = one(ask(3)) else { panic!() };
    assert!(suggestions.iter().any(|s| s.label == "selector" && s.description == "Who is meant."));

    let explain = one(Request::Explain { ticket: 4, yaml: yaml.clone(), line: 5, column: 4 });
    let Some(Reply::Explained { ticket: 4, explanation: Some(told), .. }) = explain else { panic!("{explain:?}") };
    assert_eq!((told.name.as_str(), told.type_.as_str()), ("ports", "[]ServicePort"));
}
