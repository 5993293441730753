//! A story as it is read: chapters on a line of time, the rules under them, and the modes side by side. It is made once
//! and doesn't change, so it is plain elements.

use crate::dom::add;
use crate::i18n::{t, tf, tn, tp};
use crate::stage::words;
use lab_protocol::{Chapter, FieldRef, ModeStory, RuleMet, Story, Tone};
use web_sys::Element;

/// What stands in an element's way to the line of YAML behind it.
pub const FIELD: &str = "data-field";

/// Writes a story into an element. Gives the fields that its buttons lead to, by the number in [`FIELD`].
pub fn write(place: &Element, story: &Story) -> Vec<FieldRef> {
    let mut fields = Vec::new();
    let list = add(place, "ol", "hops", "");
    let decided = |c: &Chapter| c.rules.iter().any(|r| r.decided);
    for (i, chapter) in story.chapters.iter().enumerate() {
        let last = i + 1 == story.chapters.len();
        let after_rules = i > 0 && decided(&story.chapters[i - 1]);
        let class = match chapter.tone {
            Tone::Good => "is-good",
            Tone::Bad => "is-bad",
            Tone::Cause => "is-cause",
            Tone::Step if after_rules => "is-decisive",
            Tone::Step => "",
        };
        let item = add(&list, "li", class, "");
        if last {
            let _ = item.class_list().add_1("is-end");
        }
        add(&item, "time", "", &format!("{:.4}", chapter.at.as_micros() as f64 / 1e6));
        let body = add(&item, "div", "", "");
        let text = add(&body, "p", "", "");
        let tone = match chapter.tone {
            Tone::Step => "",
            Tone::Good => "why-tone-good",
            Tone::Bad => "why-tone-bad",
            Tone::Cause => "why-tone-cause",
        };
        if !tone.is_empty() {
            add(&text, "span", "tone", &t(tone));
        }
        add(&text, "span", "", &tp(&chapter.text));
        if let Some(field) = &chapter.field {
            lead(&body, field, &mut fields);
        }
        if !chapter.rules.is_empty() {
            met(&body, &chapter.rules, &mut fields);
        }
    }
    fields
}

/// The same connection in each mode; `fields` are those that there are already.
pub fn write_modes(place: &Element, modes: &[ModeStory], mut fields: Vec<FieldRef>) -> Vec<FieldRef> {
    for mode in modes {
        let column = add(place, "section", if mode.own { "mode is-own" } else { "mode" }, "");
        let head = add(&column, "h3", "", mode.mode.name());
        if mode.own {
            add(&head, "span", "meta", &t("why-mode-own"));
        }
        add(&column, "p", "", &tp(&mode.verdict));
        add(&column, "p", "meta", &tn("why-walked", u64::from(mode.walked)));
        let list = add(&column, "ul", "shares", "");
        for (address, share) in &mode.shares {
            let item = add(&list, "li", "mono", address);
            add(&item, "span", "meta", &words::share(*share));
        }
        met(&column, &mode.rules, &mut fields);
    }
    fields
}

/// A button that leads to a field.
fn lead(place: &Element, field: &FieldRef, fields: &mut Vec<FieldRef>) {
    let text = tf("why-field", &[("field", &field.field), ("kind", &field.kind), ("name", &field.name)]);
    let button = add(place, "button", "to-yaml", &text);
    let _ = button.set_attribute(FIELD, &fields.len().to_string());
    fields.push(field.clone());
}

/// The rules that a packet met, chain by chain, to be unfolded.
fn met(place: &Element, rules: &[RuleMet], fields: &mut Vec<FieldRef>) {
    let count = rules.iter().map(|r| u64::from(r.left_out) + 1).sum();
    let details = add(place, "details", "met", "");
    add(&details, "summary", "", &tn("why-rules-met", count));
    let mut chain = String::new();
    let mut list = details.clone();
    for rule in rules {
        let head = format!("{} · {} · {}", rule.hook, rule.table, rule.chain);
        if head != chain {
            add(&details, "h4", "mono", &head);
            list = add(&details, "ol", "", "");
            chain = head;
        }
        if rule.left_out > 0 {
            add(&list, "li", "meta", &tn("why-left-out", u64::from(rule.left_out)));
        }
        let class = match (rule.decided, rule.failed.is_empty()) {
            (true, _) => "is-decided",
            (_, true) => "is-met",
            _ => "is-unmet",
        };
        let item = add(&list, "li", class, "");
        add(&item, "span", "meta", &rule.number.to_string());
        add(&item, "code", "", &rule.text);
        let word = match (rule.decided, rule.failed.is_empty()) {
            (true, _) => t("why-decided"),
            (_, true) => t("why-met"),
            _ => tf("why-unmet", &[("what", &rule.failed)]),
        };
        add(&item, "span", "word", &word);
        if let Some(field) = rule.field.as_ref().filter(|_| rule.failed.is_empty()) {
            lead(&item, field, fields);
        }
    }
}
