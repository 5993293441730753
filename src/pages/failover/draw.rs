//! The picture of a failure as SVG, and the same as tables.

use super::field;
use super::rows::{self, Row, length, offset};
use crate::dom::{add, add_svg};
use crate::i18n::{has, t, tf, tn, tp};
use crate::stage::words;
use lab_base::Time;
use lab_protocol::{Counts, Course, CourseEnd, Failover, FieldRef, Outcome, PartKind, Setting, Step, StepKind};
use web_sys::Element;

/// The texts need this much beside the picture; a page narrower than twice as much has them above it.
const TEXTS: f64 = 424.0;
/// Where times end and words begin.
const TIMES: f64 = 70.0;

/// How moments become places.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale {
    from: Time,
    to: Time,
    left: f64,
    right: f64,
    bottom: f64,
}

impl Scale {
    fn x(&self, at: Time) -> f64 {
        let whole = self.to.since(self.from).as_secs_f64().max(1e-6);
        let part = (at.as_secs_f64() - self.from.as_secs_f64()) / whole;
        self.left + (self.right - self.left) * part.clamp(0.0, 1.0)
    }
}

/// What was drawn.
pub struct Made {
    pub scale: Scale,
    /// Fields that buttons lead to, by their number in `data-field`.
    pub fields: Vec<FieldRef>,
}

/// Writes a failure: its head, its Pods, the picture of one of them, the tables. What has the focus stays if it is the
/// `same` Pod of the same failure.
pub fn write(place: &Element, failure: &Failover, pod: usize, at: Time, width: i32, same: bool) -> Made {
    let pod = pod.min(failure.courses.len().saturating_sub(1));
    let kept = same.then(|| place.query_selector(".failover-table").ok().flatten()).flatten();
    let open = kept.as_ref().is_some_and(|k| k.has_attribute("open"));
    let focus = focused(place);
    place.set_text_content(None);
    head(place, failure, at);
    if failure.courses.len() > 1 {
        pods(place, failure, pod, at);
    }
    let mut made = Made { scale: Scale::default(), fields: Vec::new() };
    if let Some(course) = failure.courses.get(pod) {
        course_head(place, course);
        made.scale = picture(place, failure, course, at, f64::from(width));
        let details = add(place, "details", "chart-table failover-table", "");
        if open {
            let _ = details.set_attribute("open", "");
        }
        add(&details, "summary", "", &t("chart-as-table"));
        tables(&details, failure, course, at, &mut made.fields);
    }
    if let Some(selector) = focus
        && let Ok(Some(again)) = place.query_selector(&selector)
    {
        let again: web_sys::HtmlElement = wasm_bindgen::JsCast::unchecked_into(again);
        let _ = again.focus();
    }
    made
}

/// How to find again what has the focus.
fn focused(place: &Element) -> Option<String> {
    let element = place.query_selector(":focus").ok().flatten()?;
    let named = ["data-pod", "data-field", "data-step"];
    let name = named.into_iter().find_map(|n| Some(format!("[{n}='{}']", element.get_attribute(n)?)));
    name.or_else(|| (element.tag_name() == "SUMMARY").then(|| "summary".to_owned()))
}

/// Failed requests by symptom: `12 refused · 3 timed out`.
fn symptoms(counts: &Counts) -> String {
    let all: Vec<String> = Outcome::ALL
        .into_iter()
        .skip(1)
        .filter(|o| counts.of(*o) > 0)
        .map(|o| format!("{} {}", counts.of(o), words::outcome_word(o)))
        .collect();
    all.join(" · ")
}

fn head(place: &Element, failure: &Failover, at: Time) {
    let head = add(place, "p", "failover-head", "");
    add(&head, "b", "", &tp(&failure.cause));
    let (key, end) = failure.until.map_or(("failover-going", at), |until| ("failover-over", until));
    add(&head, "span", "", &tf(key, &[("time", &length(end.since(failure.at)))]));
    let failed = rows::failed(failure);
    if failed.failed() == 0 {
        add(&head, "span", "", &t("failover-unharmed"));
    } else {
        let text = format!("{}: {}", tn("failover-failed", failed.failed()), symptoms(&failed));
        add(&head, "span", "is-fail", &text);
    }
    if let Some(last) = failure.last_failed {
        add(&head, "span", "", &tf("failover-last", &[("time", &offset(last, failure.at))]));
    }
    if failure.elsewhere.failed() > 0 {
        add(&head, "span", "", &tf("failover-elsewhere", &[("symptoms", &symptoms(&failure.elsewhere))]));
    }
    if failure.more > 0 {
        add(&head, "span", "", &tn("failover-more", u64::from(failure.more)));
    }
}

/// A row of buttons, a Pod each, with its course on the failure's own time.
fn pods(place: &Element, failure: &Failover, pod: usize, at: Time) {
    let list = add(place, "ul", "failover-pods", "");
    let last = failure.courses.iter().map(|c| c.until.unwrap_or(at)).max().unwrap_or(at).max(failure.at);
    let scale = Scale { from: failure.at, to: last, left: 0.0, right: 200.0, bottom: 0.0 };
    for (i, course) in failure.courses.iter().enumerate() {
        let button = add(&add(&list, "li", "", ""), "button", "", "");
        let _ = button.set_attribute("data-pod", &i.to_string());
        let _ = button.set_attribute("aria-pressed", if i == pod { "true" } else { "false" });
        add(&button, "span", "mono", words::brief(&course.name));
        add(&button, "span", "dim", &course.node);
        let svg = add_svg(
            &button,
            "svg",
            &[("viewBox", "0 0 200 10"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")],
        );
        for part in &course.parts {
            bar(&svg, &scale, part.kind, (part.from, part.to.unwrap_or(at)), (1.0, 8.0));
        }
        let mut failed = Counts::default();
        course.parts.iter().for_each(|p| rows::add(&mut failed, &p.failed));
        let class = if failed.failed() > 0 { "how is-fail" } else { "how" };
        let many = if failed.failed() > 0 { tn("failover-failed", failed.failed()) } else { String::new() };
        let time = length(course.until.unwrap_or(at).since(course.at));
        add(&button, "span", "mono", &time);
        add(&button, "span", class, &many);
    }
}

/// The Pod of the picture, and how it ended.
fn course_head(place: &Element, course: &Course) {
    let line = add(place, "p", "failover-pod", "");
    add(&line, "b", "mono", &course.name);
    let services = course.services.join(", ");
    let key = if services.is_empty() { "failover-on" } else { "failover-on-of" };
    add(&line, "span", "", &tf(key, &[("node", &course.node), ("services", &services)]));
    let end = course.end.map_or_else(|| t("failover-end-none"), |end| t(&format!("failover-end-{}", end.key())));
    add(&line, "span", "tag", &end);
    let other = course.replacement.as_ref().filter(|r| **r != course.name && course.end != Some(CourseEnd::Gone));
    if let Some(other) = other {
        add(&line, "span", "", &tf("failover-replaced", &[("pod", other)]));
    }
}

fn part_name(kind: PartKind) -> String {
    t(&format!("failover-part-{}", kind.key()))
}

/// What happened in words; the failure itself by its cause.
fn step_text(failure: &Failover, step: &Step) -> String {
    if step.kind == StepKind::Struck {
        return tp(&failure.cause);
    }
    let subject = match step.kind {
        StepKind::Created | StepKind::Ready => words::brief(&step.subject),
        _ => &step.subject,
    };
    tf(&format!("failover-step-{}", step.kind.key()), &[("subject", subject)])
}

fn steps_text(failure: &Failover, steps: &[Step]) -> String {
    match steps {
        [first, .., last] => {
            let mut all = first.clone();
            all.subject = tf("failover-nodes", &[("n", &steps.len().to_string()), ("last", &last.subject)]);
            step_text(failure, &all)
        }
        [one] => step_text(failure, one),
        [] => String::new(),
    }
}

/// Who does it: components by their own names.
fn who(kind: StepKind) -> String {
    let name = kind.component();
    let key = format!("failover-who-{name}");
    if has(&key) { t(&key) } else { name.to_owned() }
}

fn setting_text(setting: &Setting) -> String {
    format!("{} {}", rows::name(setting), rows::value(setting.value))
}

/// How wide a text is, about.
fn wide(text: &str, latin: f64) -> f64 {
    text.chars().map(|c| if c > '\u{2e80}' { 12.0 } else { latin }).sum()
}

/// A text that is cut where there is no room for it.
fn fit(text: &str, latin: f64, room: f64) -> String {
    if wide(text, latin) <= room {
        return text.to_owned();
    }
    let mut most = text.chars().count();
    while most > 1 && wide(&words::clip(text, most), latin) > room {
        most -= 1;
    }
    words::clip(text, most)
}

fn num(value: f64) -> String {
    format!("{value:.1}")
}

fn bar(svg: &Element, scale: &Scale, kind: PartKind, (from, to): (Time, Time), (y, height): (f64, f64)) {
    let (x, end) = (scale.x(from), scale.x(to));
    let class = format!("part is-{}", kind.key());
    let width = num((end - x).max(2.0));
    let _ = add_svg(
        svg,
        "rect",
        &[("class", &class), ("x", &num(x)), ("y", &num(y)), ("width", &width), ("height", &num(height))],
    );
}

fn label(svg: &Element, class: &str, (x, y): (f64, f64), text: &str) -> Element {
    let element = add_svg(svg, "text", &[("class", class), ("x", &num(x)), ("y", &num(y))]);
    element.set_text_content(Some(text));
    element
}

/// The picture: a row for each part, setting and step, on one line of time.
fn picture(place: &Element, failure: &Failover, course: &Course, at: Time, width: f64) -> Scale {
    let (rows, from, to) = rows::rows(failure, course, at);
    let beside = width >= 2.0 * TEXTS - 120.0;
    let (left, step_height) = if beside { (TEXTS, 21.0) } else { (4.0, 36.0) };
    let mut scale = Scale { from, to, left, right: width - 10.0, bottom: 0.0 };
    let tall = |row: &Row<'_>| match row {
        Row::Part(_) => 30.0,
        Row::Setting(_) => 16.0,
        Row::Others => 26.0,
        _ => step_height,
    };
    let top = 22.0;
    let height = top + rows.iter().map(tall).sum::<f64>() + 6.0;
    scale.bottom = height;
    let view = format!("0 0 {width:.0} {height:.0}");
    let name = tf("failover-picture", &[("pod", &course.name), ("cause", &tp(&failure.cause))]);
    let attributes =
        [("class", "failover-svg"), ("viewBox", view.as_str()), ("role", "img"), ("aria-label", name.as_str())];
    let svg = add_svg(place, "svg", &attributes);
    axis(&svg, &scale, course.at, top);
    let room = if beside { TEXTS - TIMES - 14.0 } else { width - TIMES - 8.0 };
    let mut y = top;
    for row in &rows {
        match row {
            Row::Part(part) => {
                let end = part.to.unwrap_or(at).max(part.from);
                let lost = symptoms(&part.failed);
                let line = add_svg(&svg, "path", &[("class", "grid"), ("d", &format!("M0 {:.1}H{width:.1}", y + 3.5))]);
                line.set_attribute("aria-hidden", "true").unwrap_or_default();
                bar(&svg, &scale, part.kind, (part.from, end), (y + 9.0, 15.0));
                label(&svg, "mono is-time", (TIMES - 10.0, y + 20.0), &length(end.since(part.from)));
                let name = part_name(part.kind);
                let name = if part.to.is_some() { name } else { tf("failover-part-going", &[("part", &name)]) };
                label(&svg, "is-part", (TIMES, y + 20.0), &name);
                if !lost.is_empty() {
                    lost_label(&svg, &scale, (scale.x(part.from), scale.x(end)), y + 20.5, &lost);
                }
            }
            Row::Setting(setting) => {
                let text = fit(&setting_text(setting), 6.7, room);
                let element = label(&svg, "mono is-setting", (TIMES, y + 10.0), &text);
                title(&element, &t(&format!("failover-setting-{}", setting.key.key())));
            }
            Row::Others => {
                label(&svg, "is-part", (TIMES, y + 17.0), &t("failover-others"));
            }
            Row::Steps(steps) => {
                let Some(first) = steps.first() else { continue };
                let end = steps.last().map_or(first.at, |s| s.at);
                let who = who(first.kind);
                let text = steps_text(failure, steps);
                moment(&svg, &scale, (y, step_height), (first.at, end), course.at, "dot");
                words_of(&svg, y, room, &text, &who);
            }
            Row::LastFailed(last) => {
                moment(&svg, &scale, (y, step_height), (*last, *last), course.at, "cross");
                words_of(&svg, y, room, &t("failover-last-failed"), &t("failover-who-client"));
            }
        }
        y += tall(row);
    }
    add_svg(&svg, "path", &[("class", "cursor"), ("d", "")]);
    scale
}

/// What failed in a part: in its bar if there is room, else after it, else before it.
fn lost_label(svg: &Element, scale: &Scale, (x, end): (f64, f64), y: f64, text: &str) {
    let need = wide(text, 6.2) + 12.0;
    let (at, class) = if need <= end - x {
        (x + 6.0, "is-lost is-in")
    } else if need <= scale.right - end {
        (end + 6.0, "is-lost")
    } else {
        (x - 6.0, "is-lost is-before")
    };
    label(svg, class, (at, y), text);
}

/// Round numbers of seconds since the failure, and lines down from them.
fn axis(svg: &Element, scale: &Scale, struck: Time, top: f64) {
    let seconds = scale.to.since(scale.from).as_secs_f64();
    let step = rows::axis_step(seconds, ((scale.right - scale.left) / 72.0).max(2.0));
    let before = scale.from.as_secs_f64() - struck.as_secs_f64();
    let mut i = (before / step).ceil();
    while i * step <= before + seconds + 1e-9 {
        let after = i * step;
        let at = Time::from_micros((struck.as_secs_f64() + after).max(0.0).mul_add(1e6, 0.5) as u64);
        let x = scale.x(at);
        add_svg(svg, "path", &[("class", "grid"), ("d", &format!("M{x:.1} {:.1}V{:.1}", top - 4.0, scale.bottom))]);
        let digits = if step < 0.01 {
            3
        } else if step < 0.1 {
            2
        } else {
            usize::from(step < 1.0)
        };
        // Numbers at the edges stay inside.
        let class = if x > scale.right - 20.0 {
            "axis is-end"
        } else if x < scale.left + 14.0 {
            "axis"
        } else {
            "axis is-mid"
        };
        label(svg, class, (x, top - 9.0), &format!("{after:.digits$} s"));
        i += 1.0;
    }
}

/// A point of time, or the time from the first to the last of several.
fn moment(svg: &Element, scale: &Scale, (y, height): (f64, f64), (from, to): (Time, Time), struck: Time, class: &str) {
    let at = from.as_micros().to_string();
    let row = add_svg(svg, "g", &[("class", "failover-row"), ("data-at", &at)]);
    let middle = y + height - 10.5;
    add_svg(
        &row,
        "rect",
        &[("class", "hit"), ("x", "0"), ("y", &num(y)), ("width", &num(scale.right + 10.0)), ("height", &num(height))],
    );
    label(&row, "mono is-time", (TIMES - 10.0, y + 14.0), &offset(from, struck));
    let (x, end) = (scale.x(from), scale.x(to));
    if end > x {
        add_svg(&row, "path", &[("class", "span"), ("d", &format!("M{x:.1} {middle:.1}H{end:.1}"))]);
    }
    if class == "cross" {
        let d = format!("M{:.1} {:.1}l8 8m0 -8l-8 8", x - 4.0, middle - 4.0);
        add_svg(&row, "path", &[("class", "cross"), ("d", &d)]);
        return;
    }
    // An arrow points to what is outside.
    let outside = if to < scale.from { Some("l8 -4v8z") } else { (from > scale.to).then_some("l-8 -4v8z") };
    if let Some(arrow) = outside {
        add_svg(&row, "path", &[("class", "dot"), ("d", &format!("M{x:.1} {middle:.1}{arrow}"))]);
        return;
    }
    for x in if end > x { vec![x, end] } else { vec![x] } {
        add_svg(&row, "circle", &[("class", class), ("cx", &num(x)), ("cy", &num(middle)), ("r", "3.5")]);
    }
}

fn words_of(svg: &Element, y: f64, room: f64, text: &str, who: &str) {
    let who_wide = if who.is_empty() { 0.0 } else { wide(who, 6.4) + 10.0 };
    let cut = fit(text, 6.3, (room - who_wide).max(60.0));
    let element = label(svg, "is-step", (TIMES, y + 14.0), &cut);
    if cut != text {
        title(&element, text);
    }
    if !who.is_empty() {
        let span = add_svg(&element, "tspan", &[("class", "is-who"), ("dx", "9")]);
        span.set_text_content(Some(who));
    }
}

fn title(element: &Element, text: &str) {
    add_svg(element, "title", &[]).set_text_content(Some(text));
}

/// Puts the cursor of time where it belongs, if that is in the picture.
pub fn cursor(place: &Element, scale: &Scale, at: Time) {
    let Ok(Some(line)) = place.query_selector(".cursor") else { return };
    let inside = at >= scale.from && at <= scale.to;
    let d = if inside { format!("M{:.1} 16V{:.1}", scale.x(at), scale.bottom) } else { String::new() };
    let _ = line.set_attribute("d", &d);
}

fn table(place: &Element, caption: &str, head: &[&str]) -> Element {
    let table = add(place, "table", "facts", "");
    add(&table, "caption", "", &t(caption));
    let row = add(&add(&table, "thead", "", ""), "tr", "", "");
    for key in head {
        let _ = add(&row, "th", "", &t(key)).set_attribute("scope", "col");
    }
    add(&table, "tbody", "", "")
}

/// The settings of a part or step, each with a way to its field.
fn settings(cell: &Element, all: &[Setting], namespace: &str, fields: &mut Vec<FieldRef>) {
    for setting in all {
        let line = add(cell, "div", "", "");
        let words = t(&format!("failover-setting-{}", setting.key.key()));
        add(&line, "span", "", &format!("{words}: "));
        add(&line, "b", "mono", &rows::value(setting.value));
        add(&line, "span", "", " ");
        let place = rows::place(setting);
        match field(setting, namespace) {
            Some(found) => {
                let button = add(&line, "button", "to-yaml", &place);
                let _ = button.set_attribute("data-field", &fields.len().to_string());
                fields.push(found);
            }
            None => drop(add(&line, "span", "mono dim", &place)),
        }
    }
}

/// All that the picture shows, in words and numbers.
fn tables(place: &Element, failure: &Failover, course: &Course, at: Time, fields: &mut Vec<FieldRef>) {
    let body = table(
        place,
        "failover-parts",
        &["failover-part", "failover-from", "failover-length", "failover-lost", "failover-governed"],
    );
    for part in &course.parts {
        let row = add(&body, "tr", "", "");
        let _ = add(&row, "th", "", &part_name(part.kind)).set_attribute("scope", "row");
        add(&row, "td", "mono", &offset(part.from, course.at));
        let time = length(part.to.unwrap_or(at).since(part.from));
        let time = if part.to.is_some() { time } else { tf("failover-part-going", &[("part", &time)]) };
        add(&row, "td", "mono", &time);
        let lost = symptoms(&part.failed);
        add(&row, "td", "", if lost.is_empty() { "0" } else { &lost });
        settings(&add(&row, "td", "", ""), &part.settings, &course.namespace, fields);
    }
    let body = table(place, "failover-steps", &["failover-when", "failover-what", "failover-who", "failover-governed"]);
    let last = course.last_failed;
    let mut steps: Vec<&Step> = course.steps.iter().chain(&failure.steps).collect();
    steps.sort_by_key(|s| s.at);
    let mut told_last = false;
    for (i, step) in steps.iter().enumerate() {
        if let Some(last) = last.filter(|at| !told_last && *at < step.at) {
            last_row(&body, last, course.at);
            told_last = true;
        }
        let row = step_row(&body, step.at, course.at, &i.to_string(), &step_text(failure, step), &who(step.kind));
        settings(&add(&row, "td", "", ""), &step.settings, &course.namespace, fields);
    }
    if let Some(last) = last.filter(|_| !told_last) {
        last_row(&body, last, course.at);
    }
}

fn last_row(body: &Element, last: Time, struck: Time) {
    let row = step_row(body, last, struck, "last", &t("failover-last-failed"), &t("failover-who-client"));
    add(&row, "td", "", "");
}

fn step_row(body: &Element, at: Time, struck: Time, number: &str, what: &str, who: &str) -> Element {
    let row = add(body, "tr", "", "");
    let head = add(&row, "th", "", "");
    let _ = head.set_attribute("scope", "row");
    let button = add(&head, "button", "event-at", &offset(at, struck));
    let _ = button.set_attribute("data-at", &at.as_micros().to_string());
    let _ = button.set_attribute("data-step", number);
    let _ = button.set_attribute("title", &t("events-go"));
    add(&row, "td", "", what);
    add(&row, "td", "mono", who);
    row
}
