//! Markdown to HTML that is safe to put into the page.
//!
//! What an author can't do: raw HTML (it is shown as text), images, styles, classes, event handlers,
//! links to anything but http, https, relative addresses and places of the same page.

use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use std::ops::Range;

/// A text as HTML, and what was found in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// Safe HTML.
    pub html: String,
    /// The heading of the first level at the start, as plain text; it isn't in `html`.
    pub title: String,
    /// Kind and id of each part that a directive placed, in order: `("task", "connect")`.
    pub parts: Vec<(String, String)>,
    /// Ids of headings.
    pub anchors: Vec<String>,
    /// Addresses of links, in order.
    pub links: Vec<String>,
    /// Mistakes: where in the text, and what.
    pub problems: Vec<(Range<usize>, String)>,
}

/// Renders a whole text, with title and directives.
pub fn document(text: &str) -> Rendered {
    let mut out = Rendered::default();
    let events = Writer { out: &mut out, document: true }.events(text);
    if out.title.is_empty() {
        out.problems.push((0..0, "the text has to begin with its title, `# Title`".into()));
    }
    html::push_html(&mut out.html, events.into_iter());
    out
}

/// Renders a small text (a hint, an answer); a single paragraph loses its `<p>`.
pub fn fragment(text: &str) -> Rendered {
    let mut out = Rendered::default();
    let mut events = Writer { out: &mut out, document: false }.events(text);
    unwrap_single(&mut events);
    html::push_html(&mut out.html, events.into_iter());
    out.html.truncate(out.html.trim_end().len());
    out
}

/// Takes the `<p>` from around the only paragraph.
fn unwrap_single(events: &mut Vec<Event<'_>>) {
    let paragraphs = events.iter().filter(|e| matches!(e, Event::Start(Tag::Paragraph))).count();
    let alone = matches!(events.first(), Some(Event::Start(Tag::Paragraph)))
        && matches!(events.last(), Some(Event::End(TagEnd::Paragraph)));
    if paragraphs == 1 && alone {
        events.pop();
        events.remove(0);
    }
}

const PARTS: [&str; 3] = ["prediction", "task", "quiz"];

struct Writer<'o> {
    out: &'o mut Rendered,
    document: bool,
}

impl Writer<'_> {
    fn events<'t>(mut self, text: &'t str) -> Vec<Event<'t>> {
        let options = Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES;
        let mut parser = Parser::new_ext(text, options).into_offset_iter();
        let mut events: Vec<Event<'t>> = Vec::new();
        let mut first = true;
        while let Some((event, at)) = parser.next() {
            match event {
                Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => {
                    let title =
                        plain(parser.by_ref().take_while(|(e, _)| !matches!(e, Event::End(TagEnd::Heading(_)))));
                    if self.document && first {
                        self.out.title = title;
                    } else {
                        self.problem(at, "a heading of the first level is for the title alone; use `##`");
                    }
                }
                Event::Start(Tag::Heading { level, id, classes, attrs }) => {
                    if !classes.is_empty() || !attrs.is_empty() {
                        self.problem(at.clone(), "a heading can have an id, `{#name}`, and nothing else");
                    }
                    let id = id.filter(|id| self.anchor(id, at));
                    let id = id.map(|id| CowStr::from(format!("s-{id}")));
                    events.push(Event::Start(Tag::Heading { level, id, classes: vec![], attrs: vec![] }));
                }
                Event::Start(Tag::Paragraph) if self.document && text[at.clone()].starts_with("::") => {
                    for _ in parser.by_ref().take_while(|(e, _)| !matches!(e, Event::End(TagEnd::Paragraph))) {}
                    self.directives(&text[at.clone()], at.start, &mut events);
                }
                Event::Start(Tag::Table(columns)) => {
                    events.push(Event::Start(Tag::Table(vec![Alignment::None; columns.len()])));
                }
                Event::Start(Tag::Link { dest_url, .. }) => {
                    events.push(Event::InlineHtml(self.link(&dest_url, at).into()));
                }
                Event::End(TagEnd::Link) => events.push(Event::InlineHtml("</a>".into())),
                Event::Start(Tag::Image { .. }) => self.problem(at, "images are not part of a lesson's text"),
                Event::End(TagEnd::Image) => {}
                Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
                Event::Html(raw) | Event::InlineHtml(raw) => {
                    self.problem(at, "HTML is not part of a lesson's text; it is shown as it is written");
                    events.push(Event::Text(raw));
                }
                other => events.push(other),
            }
            first = false;
        }
        events
    }

    fn problem(&mut self, at: Range<usize>, what: &str) {
        self.out.problems.push((at, what.into()));
    }

    fn anchor(&mut self, id: &str, at: Range<usize>) -> bool {
        let fine = is_id(id) && !self.out.anchors.iter().any(|a| a == id);
        if fine {
            self.out.anchors.push(id.into());
        } else {
            self.problem(at, &format!("`{id}` is no id of its own; use letters a to z, digits and `-`, each id once"));
        }
        fine
    }

    /// The start tag of a link; without `href` if its address isn't allowed.
    fn link(&mut self, address: &str, at: Range<usize>) -> String {
        let target = match target(address) {
            Some(target) => target,
            None => {
                self.problem(
                    at,
                    &format!("a link can't lead to `{address}`; use http, https, a relative address or `#id`"),
                );
                return "<a>".into();
            }
        };
        self.out.links.push(address.into());
        match target {
            Target::Place(id) => format!("<a href=\"#s-{id}\">"),
            Target::Relative => format!("<a href=\"{}\">", escape(address)),
            Target::External => format!("<a href=\"{}\" rel=\"noopener\">", escape(address)),
        }
    }

    /// Lines of `::kind{id=name}`.
    fn directives(&mut self, text: &str, start: usize, events: &mut Vec<Event<'_>>) {
        let mut offset = start;
        for line in text.split_inclusive('\n') {
            let at = offset..offset + line.trim_end().len();
            offset += line.len();
            match directive(line.trim()) {
                Ok((kind, id)) => {
                    let id = id.unwrap_or("");
                    let html = format!("<div data-part=\"{kind}\" data-id=\"{id}\"></div>\n");
                    events.push(Event::Html(html.into()));
                    self.out.parts.push((kind.into(), id.into()));
                }
                Err(why) => {
                    self.problem(at, &why);
                    let shown = [Event::Start(Tag::Paragraph), Event::Text(line.trim().to_owned().into())];
                    events.extend(shown);
                    events.push(Event::End(TagEnd::Paragraph));
                }
            }
        }
    }
}

fn plain<'t>(events: impl Iterator<Item = (Event<'t>, Range<usize>)>) -> String {
    events.fold(String::new(), |mut text, (event, _)| {
        if let Event::Text(t) | Event::Code(t) = event {
            text.push_str(&t);
        }
        text
    })
}

fn directive(line: &str) -> Result<(&str, Option<&str>), String> {
    let rest = line.strip_prefix("::").ok_or(format!("`{line}` stands among directives; leave an empty line"))?;
    let (kind, braces) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
    if !PARTS.contains(&kind) {
        return Err(format!(
            "no part is called `{kind}`; there are `::prediction`, `::task{{id=...}}`, `::quiz{{id=...}}`"
        ));
    }
    let id = match braces {
        "" => None,
        _ => {
            let id = braces.strip_prefix("{id=").and_then(|b| b.strip_suffix('}')).filter(|id| is_id(id));
            Some(id.ok_or(format!("`{braces}` should be `{{id=name}}`, of letters a to z, digits and `-`"))?)
        }
    };
    match (kind, id) {
        ("prediction", Some(_)) => Err("`::prediction` has no id: a lesson has one prediction".into()),
        ("task" | "quiz", None) => Err(format!("which {kind}? Write `::{kind}{{id=name}}`")),
        _ => Ok((kind, id)),
    }
}

/// Whether a text is an id: letters a to z, digits and `-`, a letter first, at most 63.
pub fn is_id(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

enum Target<'a> {
    Place(&'a str),
    Relative,
    External,
}

fn target(address: &str) -> Option<Target<'_>> {
    if address.is_empty() || address.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    if let Some(id) = address.strip_prefix('#') {
        return is_id(id).then_some(Target::Place(id));
    }
    let lower = address.to_ascii_lowercase();
    if lower.starts_with("https://") || lower.starts_with("http://") {
        return Some(Target::External);
    }
    // Relative: no scheme before the first of / ? #, and not //host.
    let head = address.split(['/', '?', '#']).next().unwrap_or("");
    (!head.contains(':') && !address.starts_with("//")).then_some(Target::Relative)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document() {
        let r = document(
            "# A *title*\n\nText with `code`.\n\n::task{id=one}\n::quiz{id=two-2}\n\n## Part {#part}\n\n[up](#part) and [out](https://kubernetes.io/)\n",
        );
        assert_eq!(r.title, "A title");
        assert_eq!(r.parts, [("task".into(), "one".into()), ("quiz".into(), "two-2".into())]);
        assert_eq!(r.anchors, ["part"]);
        assert_eq!(r.problems, []);
        assert_eq!(
            r.html,
            "<p>Text with <code>code</code>.</p>\n<div data-part=\"task\" data-id=\"one\"></div>\n\
             <div data-part=\"quiz\" data-id=\"two-2\"></div>\n<h2 id=\"s-part\">Part</h2>\n\
             <p><a href=\"#s-part\">up</a> and <a href=\"https://kubernetes.io/\" rel=\"noopener\">out</a></p>\n"
        );
    }

    #[test]
    fn directives_in_code_are_code() {
        let r = document("# T\n\n```\n::task{id=one}\n```\n");
        assert_eq!((r.parts.len(), r.problems.len()), (0, 0));
    }

    #[test]
    fn wrong_directives_are_told_and_shown() {
        for bad in
            ["::task", "::figure{id=x}", "::task{id=A}", "::task{id=\"><script>}", "::prediction{id=x}", "::quiz{x}"]
        {
            let r = document(&format!("# T\n\n{bad}\n"));
            assert_eq!((r.parts.len(), r.problems.len()), (0, 1), "{bad}");
            assert_eq!(r.problems[0].0, 5..5 + bad.len());
            assert!(!r.html.contains("<script"), "{}", r.html);
        }
    }

    #[test]
    fn nothing_unsafe_comes_through() {
        let attacks = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <b onclick=alert(1)>b</b>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java\tscript:alert(1))",
            "[x](&#106;avascript:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](vbscript:x)",
            "[x](//evil.example/)",
            "[x](\\\\evil.example)",
            "<javascript:alert(1)>",
            "![x](https://evil.example/x.png)",
            "![x](x.png \"y\" onerror=alert(1))",
            "[x](<a\" onmouseover=\"alert(1)>)",
            "[x](https://a/?\"onmouseover=\"alert(1))",
            "[x]: javascript:alert(1)\n\n[x]",
            "| a |\n|--:|\n| b |",
            "## h {#x onclick=alert(1) style=color:red .red}",
            "## h {#\"><script>}",
            "```\"><script>alert(1)</script>\nx\n```",
            "<div style=\"position:fixed\">",
            "<!-- x --><svg onload=alert(1)>",
        ];
        for attack in attacks {
            for r in [document(&format!("# T\n\n{attack}\n")), fragment(attack)] {
                for tag in r.html.split('<').skip(1) {
                    let (tag, _) = tag.split_once('>').unwrap();
                    allowed(tag.trim_start_matches('/'), attack);
                }
            }
        }
    }

    /// Only these tags, with only these attributes.
    fn allowed(tag: &str, attack: &str) {
        let outside: String = tag.split('"').step_by(2).collect::<Vec<_>>().join("\"");
        let mut words = outside.split_whitespace();
        let name = words.next().unwrap();
        let names = "a p h2 pre code table thead tbody tr th td div em strong ul li";
        assert!(names.split(' ').any(|n| n == name), "{attack} -> <{tag}>");
        for word in words {
            let fine = ["href=\"", "rel=\"", "id=\"", "class=\""].contains(&word);
            assert!(fine, "{attack} -> <{tag}>");
        }
        if let Some(address) = tag.split("href=\"").nth(1) {
            let safe = ["https://a/", "#"].iter().any(|s| address.starts_with(s));
            assert!(safe, "{attack} -> <{tag}>");
        }
    }

    #[test]
    fn fragments_have_no_paragraph() {
        assert_eq!(fragment("Just `this`.\n").html, "Just <code>this</code>.");
        assert_eq!(fragment("One.\n\nTwo.").html, "<p>One.</p>\n<p>Two.</p>");
        assert_eq!(fragment("::task{id=x}").html, "::task{id=x}");
    }
}
