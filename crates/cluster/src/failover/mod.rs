//! Failover timelines: each failure that takes endpoints away, with what followed, written down as it happens.
//!
//! A failure ([`Failover`]) strikes Pods; what becomes of each is its [`Course`]: noticed, out of the slices, out of every
//! node's rules, replaced or ready again, back in every node's rules. Components tell of what they do in one call each
//! (`steps.rs`); `cause.rs` finds out what a failure is, `settings.rs` which settings governed how long a step took, and
//! `view.rs` tells it all. Nothing is kept, and next to nothing done, while nothing fails. It follows from the state, so
//! it isn't hashed.

mod cause;
mod report;
mod settings;
mod steps;
mod view;

pub use report::{CourseReport, FailoverReport, PartReport, SettingReport, StepReport};

use crate::event::NodeName;
use kube_api::{NamespacedName, Uid};
use lab_base::{OrdMap, OrdSet, Time, Vector};
use lab_protocol::{Counts, CourseEnd, Outcome, PartKind, Phrase, Setting, Step, StepKind};
use std::net::IpAddr;
use std::sync::Arc;

/// Failovers that are remembered.
const MOST: usize = 200;
/// Pods of one failover whose courses are remembered.
const MOST_COURSES: usize = 100;

/// Number of a failover, and the Pod of one of its courses.
pub(crate) type CourseId = (u32, Uid);

/// Something that a node's kube-proxy has yet to write, by the time at which it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The endpoint of a course leaves the rules.
    Without(CourseId),
    /// Its replacement comes into them.
    With(CourseId),
    /// Rules that had grown old, or were gone, are right again.
    Healed(u32),
}

/// A Pod that was struck.
#[derive(Clone, Debug)]
struct Course {
    uid: Uid,
    key: NamespacedName,
    node: NodeName,
    ip: Option<IpAddr>,
    /// Whose Pod it is: a Deployment, or a ReplicaSet without one.
    owner: Option<NamespacedName>,
    services: Vec<(Uid, String)>,
    /// Services of whose ready endpoints it still is.
    inside: Vec<Uid>,
    at: Time,
    over: Option<(Time, CourseEnd)>,
    /// Whether its object is being deleted or gone.
    deleted: bool,
    removed: bool,
    /// Whether another Pod is wanted in its place.
    wants: bool,
    replacement: Option<(Uid, String)>,
    /// When each part ended.
    ends: [Option<Time>; 5],
    /// Nodes whose rules still have it, and nodes whose rules don't have its replacement yet.
    left: [u32; 2],
    back: bool,
    steps: Vec<Step>,
    failed: [Counts; 5],
    last_failed: Option<Time>,
}

impl Course {
    /// The part that holds at a moment. Parts are passed in their order: none ends before the one before it.
    fn part_at(&self, at: Time) -> PartKind {
        let mut end = self.at;
        for (part, ended) in PartKind::ALL.into_iter().zip(self.ends) {
            match ended {
                Some(ended) => end = end.max(ended),
                None => return part,
            }
            if at < end {
                return part;
            }
        }
        PartKind::Return
    }

    /// A part has ended, and those before it at the same time at the latest.
    fn end(&mut self, part: PartKind, now: Time) {
        for ended in &mut self.ends[..=part as usize] {
            ended.get_or_insert(now);
        }
    }

    fn ended(&self, part: PartKind) -> bool {
        self.ends[part as usize].is_some()
    }

    /// How it is over, if it is.
    fn outcome(&self) -> Option<CourseEnd> {
        let ready = self.ended(PartKind::Repair);
        // One whose endpoint never left, or who never was one, is back when it is ready.
        let never_out = self.inside.len() == self.services.len();
        let awaited = self.wants || self.replacement.is_some();
        let gone = self.removed && !awaited && (self.services.is_empty() || self.ended(PartKind::Sync));
        // The new one may be there before the old one is out of everybody's rules: until then requests are lost.
        let out = never_out || self.ended(PartKind::Sync);
        match () {
            () if (self.back && out) || (ready && never_out && !self.deleted) => Some(CourseEnd::Back),
            () if ready && self.services.is_empty() => Some(CourseEnd::Back),
            () if gone => Some(CourseEnd::Gone),
            () => None,
        }
    }
}

/// A failure.
#[derive(Clone, Debug)]
struct Failover {
    id: u32,
    cause: Phrase,
    /// Name and target of the fault that began it, for that which mends it.
    fault: Option<(&'static str, String)>,
    at: Time,
    until: Option<Time>,
    /// Whether it is over only when it is mended.
    lasting: bool,
    mended: bool,
    /// Nodes that it is about.
    nodes: Vec<NodeName>,
    courses: OrdMap<Uid, Arc<Course>>,
    order: Vector<Uid>,
    more: u32,
    steps: Vector<Step>,
    elsewhere: Counts,
    last_failed: Option<Time>,
}

/// All failures that are remembered.
#[derive(Clone, Debug, Default)]
pub struct Failovers {
    all: OrdMap<u32, Arc<Failover>>,
    last: u32,
    /// Courses that aren't over, by the Pod that was struck and by the one in its place.
    by_pod: OrdMap<Uid, Vector<CourseId>>,
    /// Courses that are over while the Pod that was struck still ends.
    leaving: OrdMap<Uid, Vector<CourseId>>,
    /// Pods that were struck, by address.
    by_ip: OrdMap<IpAddr, Uid>,
    /// What nodes' rules have yet to follow, oldest first.
    due: OrdMap<NodeName, OrdSet<(Time, Due)>>,
    /// Courses that wait for a Pod in place of theirs, by owner.
    wanting: OrdMap<NamespacedName, Vector<CourseId>>,
    /// When somebody last changed what a Deployment asks for.
    commanded: OrdMap<NamespacedName, Time>,
}

impl Failovers {
    /// Whether none has begun.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Failover> {
        self.all.get_mut(&id).map(Arc::make_mut)
    }

    fn course(&self, (id, uid): CourseId) -> Option<&Course> {
        self.all.get(&id)?.courses.get(&uid).map(|c| &**c)
    }

    fn course_mut(&mut self, (id, uid): CourseId) -> Option<&mut Course> {
        self.get_mut(id)?.courses.get_mut(&uid).map(Arc::make_mut)
    }

    /// Courses that aren't over in which a Pod has a part, as the struck one or in its place.
    fn courses_of(&self, pod: Uid) -> Vec<CourseId> {
        self.by_pod.get(&pod).map(|all| all.iter().copied().collect()).unwrap_or_default()
    }

    /// A new failure.
    fn begin(&mut self, now: Time, cause: Phrase, fault: Option<(&'static str, String)>) -> u32 {
        self.last += 1;
        let failover = Failover {
            id: self.last,
            cause,
            fault,
            at: now,
            until: None,
            lasting: false,
            mended: false,
            nodes: Vec::new(),
            courses: OrdMap::new(),
            order: Vector::new(),
            more: 0,
            steps: Vector::new(),
            elsewhere: Counts::default(),
            last_failed: None,
        };
        self.all.insert(self.last, Arc::new(failover));
        if self.all.len() > MOST
            && let Some(oldest) = self.all.get_min().map(|(id, _)| *id)
        {
            self.all.remove(&oldest);
        }
        self.last
    }

    /// The failure of this cause that goes on.
    fn going_on(&self, cause: &Phrase) -> Option<u32> {
        self.all.values().find(|f| f.until.is_none() && f.fault.is_none() && f.cause == *cause).map(|f| f.id)
    }

    fn insert(&mut self, id: u32, course: Course) {
        let (uid, ip) = (course.uid, course.ip);
        let Some(failover) = self.get_mut(id).filter(|f| !f.courses.contains_key(&uid)) else { return };
        failover.courses.insert(uid, Arc::new(course));
        failover.order.push_back(uid);
        self.by_pod.entry(uid).or_default().push_back((id, uid));
        if let Some(ip) = ip {
            self.by_ip.insert(ip, uid);
        }
    }

    fn step(&mut self, id: CourseId, step: Step) {
        if let Some(course) = self.course_mut(id) {
            course.steps.push(step);
        }
    }

    /// Ends a course if it has come to its end, and its failure if that was the last one.
    fn settle(&mut self, id: CourseId, now: Time, goes_on: bool) {
        let Some(course) = self.course_mut(id).filter(|c| c.over.is_none()) else { return };
        let Some(end) = course.outcome() else { return };
        self.close(id, now, end, goes_on);
    }

    fn close(&mut self, id: CourseId, now: Time, end: CourseEnd, goes_on: bool) {
        let Some(course) = self.course_mut(id).filter(|c| c.over.is_none()) else { return };
        course.over = Some((now, end));
        let (uid, ip, owner) = (course.uid, course.ip, course.owner.clone());
        if course.deleted && !course.removed {
            self.leaving.entry(uid).or_default().push_back(id);
        }
        let Some(course) = self.course(id) else { return };
        for pod in [Some(uid), course.replacement.as_ref().map(|r| r.0)].into_iter().flatten() {
            drop_from(&mut self.by_pod, &pod, id);
        }
        if let Some(ip) = ip.filter(|ip| self.by_ip.get(ip) == Some(&uid) && !self.by_pod.contains_key(&uid)) {
            self.by_ip.remove(&ip);
        }
        if let Some(owner) = owner {
            drop_from(&mut self.wanting, &owner, id);
        }
        if !goes_on {
            self.finish(id.0, now);
        }
    }

    /// A failure is over with its last course; one that struck no Pod when it is mended.
    fn finish(&mut self, id: u32, now: Time) {
        if let Some(failover) = self.get_mut(id)
            && (!failover.lasting || failover.mended)
            && failover.courses.values().all(|c| c.over.is_some())
        {
            failover.until.get_or_insert(now);
        }
    }

    /// A request has failed. It counts from when it was sent, but not before the failure; it belongs to the part of the
    /// course of the Pod to which it went. One that went to nobody belongs to that of the Pod struck last.
    pub(crate) fn count(&mut self, now: Time, sent: Time, pod: Option<Uid>, outcome: Outcome) {
        let concerns = |f: &Failover| now > f.at && f.until.is_none_or(|until| sent < until);
        let all: Vec<u32> = self.all.values().filter(|f| concerns(f)).map(|f| f.id).collect();
        for id in all {
            let Some(failover) = self.get_mut(id) else { continue };
            let at = sent.max(failover.at);
            failover.last_failed = failover.last_failed.max(Some(at));
            let course = match pod {
                Some(pod) if failover.courses.contains_key(&pod) => Some(pod),
                Some(pod) => {
                    let takes = |c: &&Arc<Course>| c.replacement.as_ref().is_some_and(|r| r.0 == pod);
                    failover.courses.values().find(takes).map(|c| c.uid)
                }
                None => failover.order.last().copied(),
            };
            // A course that is over has no part any more.
            let course = course.and_then(|uid| failover.courses.get_mut(&uid)).map(Arc::make_mut);
            match course.filter(|c| now > c.at && c.over.is_none_or(|(over, _)| sent < over)) {
                Some(course) => {
                    let at = sent.max(course.at);
                    course.failed[course.part_at(at) as usize].add(outcome);
                    course.last_failed = course.last_failed.max(Some(at));
                }
                None => failover.elsewhere.add(outcome),
            }
        }
    }

    pub(crate) fn forget(&mut self) {
        *self = Failovers::default();
    }
}

fn drop_from<K: Ord + Clone>(map: &mut OrdMap<K, Vector<CourseId>>, key: &K, id: CourseId) {
    let Some(all) = map.get(key) else { return };
    let left: Vector<CourseId> = all.iter().copied().filter(|c| *c != id).collect();
    if left.is_empty() {
        map.remove(key);
    } else {
        map.insert(key.clone(), left);
    }
}

/// A step about a Pod, a node, a Service or a client.
fn step(at: Time, kind: StepKind, subject: impl Into<String>, settings: Vec<Setting>) -> Step {
    Step { at, kind, subject: subject.into(), settings }
}
