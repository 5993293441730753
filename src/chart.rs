//! Charts of the last minute: requests a second by Pod, and failures by cause, with the page's one time cursor.
//!
//! Two pictures of at most sixty points; drawn by hand they cost a few hundred bytes and look as the page does.

use crate::i18n::{t, tf};
use crate::lab::{Lab, with_run};
use crate::stage::words;
use lab_protocol::{Counts, Id, Outcome, Second};
use leptos::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many seconds are shown.
const SECONDS: u32 = 60;
/// Where the plots begin and end, in the picture's own pixels.
const LEFT: f64 = 26.0;
const RIGHT: f64 = 226.0;
const WIDTH: f64 = 276.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 122.0;
const FAIL_TOP: f64 = 174.0;
const FAIL_BOTTOM: f64 = 215.0;

/// One Pod's band.
#[derive(Clone, Debug, PartialEq)]
struct Band {
    name: String,
    hue: u8,
    values: Vec<f64>,
}

/// What the charts show.
#[derive(Clone, Debug, Default, PartialEq)]
struct Data {
    first: u32,
    bands: Vec<Band>,
    counts: Vec<Counts>,
    most: f64,
    most_failed: f64,
}

impl Data {
    fn failed(&self) -> Vec<f64> {
        self.counts.iter().map(|c| c.failed() as f64).collect()
    }
    fn is_empty(&self) -> bool {
        self.counts.iter().all(|c| c.total() == 0)
    }
}

/// A round number not below `most`.
fn ceiling(most: f64) -> f64 {
    let mut unit = 1.0;
    loop {
        for step in [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0] {
            if step * unit >= most {
                return step * unit;
            }
        }
        unit *= 10.0;
    }
}

/// Puts seconds in order, whole ones only.
fn data(seconds: &[Second], first: u32, end: u32, name: impl Fn(Id) -> (String, u8)) -> Data {
    let mut pods: BTreeMap<Id, Vec<f64>> = BTreeMap::new();
    let mut counts = vec![Counts::default(); end.saturating_sub(first) as usize];
    let length = counts.len();
    for second in seconds.iter().filter(|s| (first..end).contains(&s.second)) {
        let i = (second.second - first) as usize;
        counts[i] = second.counts;
        for (pod, n) in &second.pods {
            pods.entry(*pod).or_insert_with(|| vec![0.0; length])[i] = f64::from(*n);
        }
    }
    let bands = pods
        .into_iter()
        .map(|(pod, values)| {
            let (name, hue) = name(pod);
            Band { name, hue, values }
        })
        .collect();
    let most = counts.iter().map(Counts::total).max().unwrap_or(0) as f64;
    let most_failed = counts.iter().map(Counts::failed).max().unwrap_or(0) as f64;
    Data { first, bands, counts, most: ceiling(most.max(10.0) * 1.04), most_failed: ceiling(most_failed.max(4.0)) }
}

fn x_of(i: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * i / f64::from(SECONDS)
}

/// The outline of an area between two lines, each value in the middle of its second.
fn area(below: &[f64], above: &[f64], scale: impl Fn(f64) -> f64) -> String {
    let mut d = String::new();
    let last = above.len().saturating_sub(1);
    let x = |i: usize| match i {
        0 => x_of(0.0),
        i if i == last => x_of(i as f64 + 1.0),
        i => x_of(i as f64 + 0.5),
    };
    for (i, v) in above.iter().enumerate() {
        let _ = write!(d, "{}{:.1} {:.1}", if i == 0 { "M" } else { "L" }, x(i), scale(*v));
    }
    for (i, v) in below.iter().enumerate().rev() {
        let _ = write!(d, "L{:.1} {:.1}", x(i), scale(*v));
    }
    if !d.is_empty() {
        d.push('Z');
    }
    d
}

/// Labels beside their bands' ends, pushed apart; those without room are left out.
fn place_labels(mut wanted: Vec<(f64, usize)>, top: f64) -> Vec<(f64, usize)> {
    wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut placed: Vec<(f64, usize)> = Vec::new();
    let mut limit = BOTTOM + 2.0;
    for (y, i) in wanted {
        let y = y.min(limit);
        if y >= top {
            placed.push((y, i));
            limit = y - 12.0;
        }
    }
    placed
}

/// The charts of a cluster.
#[component]
pub fn Charts(lab: Lab) -> impl IntoView {
    // Charts may stand on a page twice, and one of them be hidden: each has a hatch of its own.
    thread_local!(static NUMBER: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let hatch = NUMBER.with(|n| format!("chart-hatch-{}", n.replace(n.get() + 1)));
    let fill = StoredValue::new(format!("url(#{hatch})"));
    // Pods that are gone keep the name and hue that they had.
    let known = StoredValue::new(BTreeMap::<Id, (String, u8)>::new());
    let shown: Memo<Data> = Memo::new(move |_| {
        lab.scene.with_untracked(|s| {
            known.update_value(|k| {
                for p in s.pods.values() {
                    k.entry(p.id).or_insert_with(|| (words::short(p), p.hue));
                }
            });
        });
        lab.charts.track();
        let view = lab.view_time.get_untracked();
        let end = (view.as_micros() / 1_000_000) as u32;
        let first = end.saturating_sub(SECONDS);
        let seconds: Vec<Second> =
            with_run(lab.id, |run| run.store.seconds(first, end).cloned().collect()).unwrap_or_default();
        known.with_value(|k| data(&seconds, first, end, |pod| k.get(&pod).cloned().unwrap_or_default()))
    });
    let cursor = Memo::new(move |_| {
        let first = f64::from(shown.with(|d| d.first));
        let at = lab.view_time.get().as_secs_f64();
        (x_of((at - first).clamp(0.0, f64::from(SECONDS) + 1.0)), format!("{at:.1}"))
    });
    let tag = move || format!("translate({:.1} 216)", cursor.get().0.clamp(LEFT, WIDTH - 21.0));
    view! {
        <figure class="charts">
            <figcaption class="mlabel-h">{t("chart-by-pod")}</figcaption>
            <svg class="metrics-svg" viewBox="0 0 276 234" role="img" aria-label=t("chart-label")>
                <defs>
                    <pattern id=hatch width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                        <rect class="hatch-bg" width="5" height="5"/><path class="hatch-l" d="M0 0V5"/>
                    </pattern>
                </defs>
                {move || shown.with(|d| plot(d, &fill.get_value()))}
                {move || shown.with(|d| failures(d, &fill.get_value()))}
                <path class="cursor" d=move || format!("M{:.1} 4V216", cursor.get().0)/>
                <g transform=tag>
                    <rect class="cursor-tag" x="-21" y="0" width="42" height="15" rx="3"/>
                    <text class="cursor-t" x="0" y="11">{move || cursor.get().1}</text>
                </g>
            </svg>
            <details class="chart-table">
                <summary>{t("chart-as-table")}</summary>
                {move || shown.with(numbers)}
            </details>
        </figure>
    }
}

/// Axis lines with their numbers.
fn grid(most: f64, top: f64, bottom: f64, lines: u32) -> impl IntoView {
    (1..=lines)
        .map(|i| {
            let part = f64::from(i) / f64::from(lines);
            let y = bottom - (bottom - top) * part;
            let value = most * part;
            let value = if value.fract() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") };
            view! {
                <path class="grid" d=format!("M{LEFT} {:.1}H{RIGHT}", y.round() + 0.5)/>
                <text class="axis" x="20" y=format!("{:.1}", y + 4.0) text-anchor="end">{value}</text>
            }
        })
        .collect_view()
}

/// The stacked bands.
fn plot(d: &Data, hatch: &str) -> AnyView {
    let scale = |v: f64| BOTTOM - (BOTTOM - TOP) * v / d.most;
    let mut below = vec![0.0; d.counts.len()];
    let mut areas = Vec::new();
    let mut labels = Vec::new();
    let last = d.counts.len().saturating_sub(1);
    for (i, band) in d.bands.iter().enumerate() {
        let above: Vec<f64> = below.iter().zip(&band.values).map(|(a, b)| a + b).collect();
        areas.push((words::hue(band.hue), area(&below, &above, scale)));
        if band.values.get(last).is_some_and(|v| *v > 0.0) {
            labels.push((scale((below[last] + above[last]) / 2.0) + 4.0, i));
        }
        below = above;
    }
    let failed = d.failed();
    let above: Vec<f64> = below.iter().zip(&failed).map(|(a, b)| a + b).collect();
    let fails = failed.iter().any(|f| *f > 0.0).then(|| area(&below, &above, scale));
    if failed.get(last).is_some_and(|f| *f > 0.0) {
        labels.push((scale((below[last] + above[last]) / 2.0) + 4.0, usize::MAX));
    }
    let many = if d.bands.len() > 12 { "area is-many" } else { "area" };
    let labels = place_labels(labels, TOP);
    let empty = d.is_empty().then(|| {
        view! { <text class="axis" x=(LEFT + RIGHT) / 2.0 y="70" text-anchor="middle">{t("chart-empty")}</text> }
    });
    view! {
        {grid(d.most, TOP, BOTTOM, 2)}
        {areas.into_iter().map(|(hue, path)| view! { <path class=format!("{many} {hue}") d=path/> }).collect_view()}
        {fails.map(|path| view! { <path class="fail-area" fill=hatch.to_owned() d=path/> })}
        <path class="axisline" d=format!("M{LEFT} {}H{RIGHT}", BOTTOM + 0.5)/>
        {labels.into_iter().map(|(y, i)| {
            let (class, text) = match d.bands.get(i) {
                Some(band) => (format!("axis lab {}", words::hue(band.hue)), words::clip(&band.name, 7)),
                None => ("axis lab is-fail".to_owned(), t("chart-failed")),
            };
            view! { <text class=class x="231" y=format!("{y:.1}")>{text}</text> }
        }).collect_view()}
        {empty}
    }
    .into_any()
}

/// Failures: a bar a second, a pattern a cause.
fn failures(d: &Data, hatch: &str) -> AnyView {
    let scale = |v: f64| (FAIL_BOTTOM - FAIL_TOP) * v / d.most_failed;
    let width = (RIGHT - LEFT) / f64::from(SECONDS);
    let mut bars = Vec::new();
    for (i, counts) in d.counts.iter().enumerate() {
        let mut y = FAIL_BOTTOM;
        for outcome in Outcome::ALL.into_iter().skip(1) {
            let n = counts.of(outcome);
            if n == 0 {
                continue;
            }
            let h = scale(n as f64);
            y -= h;
            let (class, fill) = match outcome {
                Outcome::Refused => ("fail-bar is-refused", None),
                Outcome::TimedOut => ("fail-bar is-timed-out", None),
                _ => ("fail-bar is-other", Some(hatch.to_owned())),
            };
            bars.push(view! {
                <rect class=class fill=fill x=format!("{:.1}", x_of(i as f64) + 0.3) y=format!("{y:.1}")
                    width=format!("{:.1}", width - 0.6) height=format!("{:.1}", h.max(0.5))/>
            });
        }
    }
    let mut sums = Counts::default();
    for counts in &d.counts {
        for (i, n) in counts.0.iter().enumerate() {
            sums.0[i] += n;
        }
    }
    let legend: Vec<String> = Outcome::ALL
        .into_iter()
        .skip(1)
        .filter(|o| sums.of(*o) > 0)
        .map(|o| format!("{} {}", sums.of(o), words::outcome_word(o)))
        .collect();
    // Several causes have a line of their own under the heading.
    let legend_y = if legend.len() > 1 { "163" } else { "147" };
    let legend = if legend.is_empty() { t("chart-no-failures") } else { legend.join(" · ") };
    let legend_class = if sums.failed() > 0 { "axis is-fail" } else { "axis" };
    view! {
        <text class="mlabel" x="0" y="147">{t("chart-failures")}</text>
        <text class=legend_class x="276" y=legend_y text-anchor="end">{legend}</text>
        {grid(d.most_failed, FAIL_TOP, FAIL_BOTTOM, 1)}
        {bars}
        <path class="axisline" d=format!("M{LEFT} {}H{RIGHT}", FAIL_BOTTOM + 0.5)/>
    }
    .into_any()
}

/// The same in numbers: each five seconds, the newest first.
fn numbers(d: &Data) -> AnyView {
    let rows: Vec<(u32, Vec<String>)> = (0..d.counts.len())
        .rev()
        .step_by(5)
        .map(|i| {
            let pods: Vec<String> = d
                .bands
                .iter()
                .filter(|b| b.values[i] > 0.0)
                .map(|b| format!("{} {:.0}", b.name, b.values[i]))
                .collect();
            let c = &d.counts[i];
            let mut cells = vec![c.of(Outcome::Answered).to_string(), pods.join(", ")];
            cells.extend(Outcome::ALL.into_iter().skip(1).map(|o| c.of(o).to_string()));
            (d.first + i as u32, cells)
        })
        .collect();
    let mut head = vec![t("chart-second"), t("stage-answered"), t("chart-by-pod-short")];
    head.extend(Outcome::ALL.into_iter().skip(1).map(words::outcome_word));
    view! {
        <table class="facts">
            <thead><tr>{head.into_iter().map(|h| view! { <th scope="col">{h}</th> }).collect_view()}</tr></thead>
            <tbody>
                {rows.into_iter().map(|(second, cells)| view! {
                    <tr>
                        <th scope="row" class="mono">{tf("chart-at", &[("second", &second.to_string())])}</th>
                        {cells.into_iter().map(|c| view! { <td>{c}</td> }).collect_view()}
                    </tr>
                }).collect_view()}
            </tbody>
        </table>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_only_and_each_pod_its_band() {
        let second = |n, pods: Vec<(Id, u32)>, failed| Second {
            second: n,
            counts: Counts([pods.iter().map(|p| u64::from(p.1)).sum(), failed, 0, 0, 0, 0]),
            pods,
        };
        let all = [second(3, vec![(Id(1), 4), (Id(2), 6)], 0), second(4, vec![(Id(2), 7)], 3), second(5, vec![], 9)];
        let d = data(&all, 3, 5, |id| (id.0.to_string(), 0));
        assert_eq!(d.counts.len(), 2);
        assert_eq!(d.bands[0].values, [4.0, 0.0]);
        assert_eq!(d.bands[1].values, [6.0, 7.0]);
        assert_eq!(d.failed(), [0.0, 3.0]);
        assert_eq!((d.most, d.most_failed), (20.0, 4.0));
    }

    #[test]
    fn labels_keep_their_distance() {
        let placed = place_labels(vec![(100.0, 0), (98.0, 1), (96.0, 2), (20.0, 3)], TOP);
        assert!(placed.windows(2).all(|w| w[0].0 - w[1].0 >= 12.0), "{placed:?}");
    }
}
