//! ipsets: what `ipset(8)` calls a set, its type and its entries.

use crate::{Cidr, Flow, L4};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The type of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// `hash:ip`.
    HashIp,
    /// `hash:ip,port`.
    HashIpPort,
    /// `hash:ip,port,ip`.
    HashIpPortIp,
    /// `hash:ip,port,net`.
    HashIpPortNet,
    /// `bitmap:port`.
    BitmapPort,
}

impl SetKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            SetKind::HashIp => "hash:ip",
            SetKind::HashIpPort => "hash:ip,port",
            SetKind::HashIpPortIp => "hash:ip,port,ip",
            SetKind::HashIpPortNet => "hash:ip,port,net",
            SetKind::BitmapPort => "bitmap:port",
        }
    }
}

/// A set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: SetKind,
}

/// An entry of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// An address.
    Ip(IpAddr),
    /// A port, of whatever protocol.
    Port(u16),
    /// An address and a port.
    IpPort(IpAddr, L4, u16),
    /// An address, a port and another address.
    IpPortIp(IpAddr, L4, u16, IpAddr),
    /// An address, a port and a network.
    IpPortNet(IpAddr, L4, u16, Cidr),
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Ip(ip) => ip.fmt(f),
            Element::Port(port) => port.fmt(f),
            Element::IpPort(ip, proto, port) => write!(f, "{ip},{proto}:{port}"),
            Element::IpPortIp(ip, proto, port, other) => write!(f, "{ip},{proto}:{port},{other}"),
            Element::IpPortNet(ip, proto, port, net) => write!(f, "{ip},{proto}:{port},{net}"),
        }
    }
}

/// Which of a packet's addresses and ports are looked up, as after `--match-set NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimensions {
    /// `dst`.
    Dst,
    /// `dst,dst`.
    DstDst,
    /// `src,dst`.
    SrcDst,
    /// `dst,dst,src`.
    DstDstSrc,
}

impl Dimensions {
    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Dimensions::Dst => "dst",
            Dimensions::DstDst => "dst,dst",
            Dimensions::SrcDst => "src,dst",
            Dimensions::DstDstSrc => "dst,dst,src",
        }
    }
    /// What is looked up in a set of this kind, but for networks, of which there may be several.
    pub(super) fn element(self, kind: SetKind, flow: &Flow) -> Option<Element> {
        let (dst, port) = (flow.dst.ip(), flow.dst.port());
        Some(match (self, kind) {
            (Dimensions::Dst, SetKind::HashIp) => Element::Ip(dst),
            (Dimensions::Dst, SetKind::BitmapPort) => Element::Port(port),
            (Dimensions::DstDst, SetKind::HashIpPort) => Element::IpPort(dst, flow.proto, port),
            (Dimensions::SrcDst, SetKind::HashIpPort) => Element::IpPort(flow.src.ip(), flow.proto, port),
            (Dimensions::DstDstSrc, SetKind::HashIpPortIp) => Element::IpPortIp(dst, flow.proto, port, flow.src.ip()),
            _ => return None,
        })
    }
}
