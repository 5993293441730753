//! From tokens to events: the grammar, as a machine with a stack of its own, so that depth costs no stack of ours.

use super::scan::{By, Kind, Mark, Problem, Scanner, Token};

/// What a text says, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(String),
    Scalar { anchor: Option<String>, tag: Option<String>, text: String, plain: bool },
    SequenceStart { anchor: Option<String> },
    SequenceEnd,
    MappingStart { anchor: Option<String> },
    MappingEnd,
}

/// An event and its place.
pub(super) type Placed = (Event, Mark, Mark);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ImplicitDocumentStart,
    DocumentStart,
    DocumentContent,
    DocumentEnd,
    BlockNode,
    BlockSequence,
    IndentlessSequence,
    BlockMappingKey,
    BlockMappingValue,
    FlowSequence { first: bool },
    FlowPairKey,
    FlowPairValue,
    FlowPairEnd,
    FlowMappingKey { first: bool },
    FlowMappingValue { empty: bool },
    End,
}

/// Makes events of a text.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    state: State,
    states: Vec<State>,
    /// Where the open collections begin.
    marks: Vec<Mark>,
    handles: Vec<(String, String)>,
}

type Next = Result<Placed, Problem>;

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Self {
        Parser {
            scanner: Scanner::new(text),
            state: State::ImplicitDocumentStart,
            states: Vec::new(),
            marks: Vec::new(),
            handles: Vec::new(),
        }
    }

    /// The next event; after the end the end again.
    pub fn next(&mut self) -> Next {
        match self.state {
            State::ImplicitDocumentStart => self.document_start(true),
            State::DocumentStart => self.document_start(false),
            State::DocumentContent => match self.kind()? {
                Kind::Version(..)
                | Kind::TagDirective(..)
                | Kind::DocumentStart
                | Kind::DocumentEnd
                | Kind::StreamEnd => {
                    self.pop();
                    self.empty()
                }
                _ => self.node(true, false),
            },
            State::DocumentEnd => self.document_end(),
            State::BlockNode => self.node(true, false),
            State::BlockSequence => self.block_sequence(),
            State::IndentlessSequence => self.indentless_sequence(),
            State::BlockMappingKey => self.block_mapping_key(),
            State::BlockMappingValue => self.block_mapping_value(),
            State::FlowSequence { first } => self.flow_sequence(first),
            State::FlowPairKey => match self.kind()? {
                Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd => {
                    self.state = State::FlowPairValue;
                    self.empty()
                }
                _ => self.push_node(State::FlowPairValue, false, false),
            },
            State::FlowPairValue => {
                if *self.kind()? == Kind::Value {
                    self.scanner.take();
                    if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowSequenceEnd) {
                        return self.push_node(State::FlowPairEnd, false, false);
                    }
                }
                self.state = State::FlowPairEnd;
                self.empty()
            }
            State::FlowPairEnd => {
                self.state = State::FlowSequence { first: false };
                let mark = self.scanner.peek()?.start;
                Ok((Event::MappingEnd, mark, mark))
            }
            State::FlowMappingKey { first } => self.flow_mapping_key(first),
            State::FlowMappingValue { empty } => self.flow_mapping_value(empty),
            State::End => Ok((Event::StreamEnd, self.scanner.mark, self.scanner.mark)),
        }
    }

    fn kind(&mut self) -> Result<&Kind, Problem> {
        self.scanner.peek().map(|token| &token.kind)
    }

    fn place(&mut self) -> Result<(Mark, Mark), Problem> {
        self.scanner.peek().map(|token| (token.start, token.end))
    }

    fn pop(&mut self) {
        self.state = self.states.pop().unwrap_or(State::End);
    }

    fn wrong<T>(&mut self, context: Mark, text: &'static str) -> Result<T, Problem> {
        let (mark, _) = self.place()?;
        Err(Problem { by: By::Parser, text, mark, context })
    }

    /// A node that isn't there.
    fn empty(&mut self) -> Next {
        let (mark, _) = self.place()?;
        Ok(Self::nothing(mark))
    }

    fn nothing(mark: Mark) -> Placed {
        (Event::Scalar { anchor: None, tag: None, text: String::new(), plain: true }, mark, mark)
    }

    fn push_node(&mut self, then: State, block: bool, indentless: bool) -> Next {
        self.states.push(then);
        self.node(block, indentless)
    }

    fn document_start(&mut self, implicit: bool) -> Next {
        if !implicit {
            while *self.kind()? == Kind::DocumentEnd {
                self.scanner.take();
            }
        }
        let (start, end) = self.place()?;
        match self.kind()? {
            Kind::StreamEnd => {
                self.state = State::End;
                return Ok((Event::StreamEnd, start, end));
            }
            Kind::Version(..) | Kind::TagDirective(..) | Kind::DocumentStart => {}
            _ if implicit => {
                self.directives()?;
                self.states.push(State::DocumentEnd);
                self.state = State::BlockNode;
                return Ok((Event::DocumentStart, start, start));
            }
            _ => {}
        }
        self.directives()?;
        if *self.kind()? != Kind::DocumentStart {
            return self.wrong(Mark::default(), "did not find expected <document start>");
        }
        let (_, end) = self.place()?;
        self.states.push(State::DocumentEnd);
        self.state = State::DocumentContent;
        self.scanner.take();
        Ok((Event::DocumentStart, start, end))
    }

    fn directives(&mut self) -> Result<(), Problem> {
        let mut version = false;
        self.handles.clear();
        loop {
            match self.kind()?.clone() {
                Kind::Version(..) if version => {
                    return self.wrong(Mark::default(), "found duplicate %YAML directive");
                }
                Kind::Version(1, 1) => version = true,
                Kind::Version(..) => return self.wrong(Mark::default(), "found incompatible YAML document"),
                Kind::TagDirective(handle, prefix) => {
                    if self.handles.iter().any(|(h, _)| *h == handle) {
                        return self.wrong(Mark::default(), "found duplicate %TAG directive");
                    }
                    self.handles.push((handle, prefix));
                }
                _ => break,
            }
            self.scanner.take();
        }
        for (handle, prefix) in [("!", "!"), ("!!", "tag:yaml.org,2002:")] {
            if !self.handles.iter().any(|(h, _)| h == handle) {
                self.handles.push((handle.into(), prefix.into()));
            }
        }
        Ok(())
    }

    fn document_end(&mut self) -> Next {
        let (start, mut end) = self.place()?;
        if *self.kind()? == Kind::DocumentEnd {
            self.scanner.take();
        } else {
            end = start;
        }
        self.handles.clear();
        self.state = State::DocumentStart;
        Ok((Event::DocumentEnd, start, end))
    }

    fn node(&mut self, block: bool, indentless: bool) -> Next {
        let (mut start, mut end) = self.place()?;
        if let Kind::Alias(name) = self.kind()? {
            let name = name.clone();
            self.pop();
            self.scanner.take();
            return Ok((Event::Alias(name), start, end));
        }
        let (mut anchor, mut tag, mut begun) = (None, None, None);
        loop {
            match self.kind()?.clone() {
                Kind::Anchor(name) if anchor.is_none() => anchor = Some(name),
                Kind::Tag(handle, suffix) if tag.is_none() => {
                    let (mark, _) = self.place()?;
                    tag = Some((handle, suffix, mark));
                }
                _ => break,
            }
            let token = self.scanner.take();
            begun = begun.or(token.as_ref().map(|t| t.start));
            end = token.map_or(end, |t| t.end);
        }
        start = begun.unwrap_or(start);
        let tag = match tag {
            Some((handle, suffix, mark)) => Some(self.resolve(handle, suffix, start, mark)?),
            None => None,
        };
        if indentless && *self.kind()? == Kind::BlockEntry {
            let (_, end) = self.place()?;
            self.state = State::IndentlessSequence;
            return Ok((Event::SequenceStart { anchor }, start, end));
        }
        let (_, after) = self.place()?;
        let event = match self.kind()? {
            Kind::Scalar(..) => {
                let Some(Token { kind: Kind::Scalar(text, plain), end, .. }) = self.scanner.take() else {
                    return Ok(Self::nothing(start));
                };
                self.pop();
                return Ok((Event::Scalar { anchor, tag, text, plain }, start, end));
            }
            Kind::FlowSequenceStart => {
                self.state = State::FlowSequence { first: true };
                Event::SequenceStart { anchor }
            }
            Kind::FlowMappingStart => {
                self.state = State::FlowMappingKey { first: true };
                Event::MappingStart { anchor }
            }
            Kind::BlockSequenceStart if block => {
                self.open()?;
                self.state = State::BlockSequence;
                return Ok((Event::SequenceStart { anchor }, start, after));
            }
            Kind::BlockMappingStart if block => {
                self.open()?;
                self.state = State::BlockMappingKey;
                return Ok((Event::MappingStart { anchor }, start, after));
            }
            _ if anchor.is_some() || tag.is_some() => {
                self.pop();
                return Ok((Event::Scalar { anchor, tag, text: String::new(), plain: true }, start, end));
            }
            _ => return self.wrong(start, "did not find expected node content"),
        };
        self.open()?;
        Ok((event, start, after))
    }

    /// Takes the token that opens a collection.
    fn open(&mut self) -> Result<(), Problem> {
        let (mark, _) = self.place()?;
        self.marks.push(mark);
        self.scanner.take();
        Ok(())
    }

    /// Takes the token that closes a collection.
    fn close(&mut self, event: Event) -> Next {
        let (start, end) = self.place()?;
        self.pop();
        self.marks.pop();
        self.scanner.take();
        Ok((event, start, end))
    }

    fn resolve(&mut self, handle: String, suffix: String, start: Mark, mark: Mark) -> Result<String, Problem> {
        if handle.is_empty() {
            return Ok(suffix);
        }
        match self.handles.iter().find(|(h, _)| *h == handle) {
            Some((_, prefix)) => Ok(format!("{prefix}{suffix}")),
            None => Err(Problem { by: By::Parser, text: "found undefined tag handle", mark, context: start }),
        }
    }

    fn begun(&self) -> Mark {
        self.marks.last().copied().unwrap_or_default()
    }

    fn block_sequence(&mut self) -> Next {
        match self.kind()? {
            Kind::BlockEntry => {
                let (_, mark) = self.place()?;
                self.scanner.take();
                if matches!(self.kind()?, Kind::BlockEntry | Kind::BlockEnd) {
                    return Ok(Self::nothing(mark));
                }
                self.push_node(State::BlockSequence, true, false)
            }
            Kind::BlockEnd => self.close(Event::SequenceEnd),
            _ => self.wrong(self.begun(), "did not find expected '-' indicator"),
        }
    }

    fn indentless_sequence(&mut self) -> Next {
        let (start, mark) = self.place()?;
        if *self.kind()? != Kind::BlockEntry {
            self.pop();
            return Ok((Event::SequenceEnd, start, start));
        }
        self.scanner.take();
        if matches!(self.kind()?, Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd) {
            return Ok(Self::nothing(mark));
        }
        self.push_node(State::IndentlessSequence, true, false)
    }

    fn block_mapping_key(&mut self) -> Next {
        match self.kind()? {
            Kind::Key => {
                let (_, mark) = self.place()?;
                self.scanner.take();
                if matches!(self.kind()?, Kind::Key | Kind::Value | Kind::BlockEnd) {
                    self.state = State::BlockMappingValue;
                    return Ok(Self::nothing(mark));
                }
                self.push_node(State::BlockMappingValue, true, true)
            }
            Kind::BlockEnd => self.close(Event::MappingEnd),
            _ => self.wrong(self.begun(), "did not find expected key"),
        }
    }

    fn block_mapping_value(&mut self) -> Next {
        let (start, mark) = self.place()?;
        if *self.kind()? != Kind::Value {
            self.state = State::BlockMappingKey;
            return Ok(Self::nothing(start));
        }
        self.scanner.take();
        if matches!(self.kind()?, Kind::Key | Kind::Value | Kind::BlockEnd) {
            self.state = State::BlockMappingKey;
            return Ok(Self::nothing(mark));
        }
        self.push_node(State::BlockMappingKey, true, true)
    }

    fn flow_sequence(&mut self, first: bool) -> Next {
        if *self.kind()? != Kind::FlowSequenceEnd {
            if !first {
                if *self.kind()? != Kind::FlowEntry {
                    return self.wrong(self.begun(), "did not find expected ',' or ']'");
                }
                self.scanner.take();
            }
            match self.kind()? {
                Kind::Key => {
                    let (start, end) = self.place()?;
                    self.state = State::FlowPairKey;
                    self.scanner.take();
                    return Ok((Event::MappingStart { anchor: None }, start, end));
                }
                Kind::FlowSequenceEnd => {}
                _ => return self.push_node(State::FlowSequence { first: false }, false, false),
            }
        }
        self.close(Event::SequenceEnd)
    }

    fn flow_mapping_key(&mut self, first: bool) -> Next {
        if *self.kind()? != Kind::FlowMappingEnd {
            if !first {
                if *self.kind()? != Kind::FlowEntry {
                    return self.wrong(self.begun(), "did not find expected ',' or '}'");
                }
                self.scanner.take();
            }
            match self.kind()? {
                Kind::Key => {
                    self.scanner.take();
                    if !matches!(self.kind()?, Kind::Value | Kind::FlowEntry | Kind::FlowMappingEnd) {
                        return self.push_node(State::FlowMappingValue { empty: false }, false, false);
                    }
                    self.state = State::FlowMappingValue { empty: false };
                    return self.empty();
                }
                Kind::FlowMappingEnd => {}
                _ => return self.push_node(State::FlowMappingValue { empty: true }, false, false),
            }
        }
        self.close(Event::MappingEnd)
    }

    fn flow_mapping_value(&mut self, empty: bool) -> Next {
        if !empty && *self.kind()? == Kind::Value {
            self.scanner.take();
            if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowMappingEnd) {
                return self.push_node(State::FlowMappingKey { first: false }, false, false);
            }
        }
        self.state = State::FlowMappingKey { first: false };
        self.empty()
    }
}
