//! The JSON of the payloads. Decides which fields a type has, which of them it must have, and what is in range;
//! fields that a type does not have are skipped. Called by `frame` and, for cursors and runs, by `engine::meta`.

use super::bytes::{SiteId, encode_base64};
use super::change::{MAX_DB_VERSION, Row, RowCode, read_rows, write_row};
use super::digest::{self, Digest};
use super::json::{self, Fault, Object, Reader};
use super::message::{
    Body, Cursor, Part, Place, Rejected, Run, SyncAck, SyncError, SyncPush, SyncRequest, SyncResponse,
};

#[derive(Clone, Copy)]
enum Field {
    Account,
    AppliedCount,
    BaseVersion,
    Changes,
    Code,
    CurrentVersion,
    Cursors,
    Differ,
    Digest,
    Durable,
    Head,
    Message,
    More,
    Part,
    ReceivedVersion,
    Ref,
    Rejected,
    Relay,
    RetryAfter,
    Run,
    SinceVersion,
    StoredCursor,
    StoredVersion,
    To,
}

type Named = (&'static str, Field);

/// The fields of a type, those first that it must have.
struct Shape {
    fields: &'static [Named],
    required: usize,
}

const ACCOUNT: Named = ("account", Field::Account);
const APPLIED_COUNT: Named = ("appliedCount", Field::AppliedCount);
const BASE_VERSION: Named = ("baseVersion", Field::BaseVersion);
const CHANGES: Named = ("changes", Field::Changes);
const CODE: Named = ("code", Field::Code);
const CURRENT_VERSION: Named = ("currentVersion", Field::CurrentVersion);
const CURSORS: Named = ("cursors", Field::Cursors);
const DIFFER: Named = ("differ", Field::Differ);
const DIGEST: Named = ("digest", Field::Digest);
const DURABLE: Named = ("durable", Field::Durable);
const HEAD: Named = ("head", Field::Head);
const MESSAGE: Named = ("message", Field::Message);
const MORE: Named = ("more", Field::More);
const PART: Named = ("part", Field::Part);
const RECEIVED_VERSION: Named = ("receivedVersion", Field::ReceivedVersion);
const REF: Named = ("ref", Field::Ref);
const REJECTED: Named = ("rejected", Field::Rejected);
const RELAY: Named = ("relay", Field::Relay);
const RETRY_AFTER: Named = ("retryAfter", Field::RetryAfter);
const RUN: Named = ("run", Field::Run);
const SINCE_VERSION: Named = ("sinceVersion", Field::SinceVersion);
const STORED_CURSOR: Named = ("stored", Field::StoredCursor);
const STORED_VERSION: Named = ("stored", Field::StoredVersion);
const TO: Named = ("to", Field::To);

/// The types that there are.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Request,
    Response,
    Push,
    Ack,
    Error,
}

impl Kind {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "sync_request" => Kind::Request,
            "sync_response" => Kind::Response,
            "sync_push" => Kind::Push,
            "sync_ack" => Kind::Ack,
            "sync_error" => Kind::Error,
            _ => return None,
        })
    }

    fn shape(self) -> Shape {
        let (fields, required): (&[Named], usize) = match self {
            Kind::Request => (&[SINCE_VERSION, RUN, CURSORS, HEAD, TO, REF, STORED_CURSOR, DIGEST], 1),
            Kind::Response => (
                &[
                    CHANGES,
                    CURRENT_VERSION,
                    RUN,
                    TO,
                    REF,
                    BASE_VERSION,
                    HEAD,
                    MORE,
                    PART,
                    DURABLE,
                    ACCOUNT,
                    STORED_VERSION,
                    DIFFER,
                ],
                2,
            ),
            Kind::Push => {
                (&[CHANGES, BASE_VERSION, RUN, REF, CURRENT_VERSION, HEAD, CURSORS, DIGEST, DIFFER, RELAY], 2)
            }
            Kind::Ack => (&[RECEIVED_VERSION, APPLIED_COUNT, RUN, TO, REF, DURABLE, REJECTED, RELAY], 2),
            Kind::Error => (&[CODE, MESSAGE, RETRY_AFTER, RUN, TO, REF, DURABLE, REJECTED], 2),
        };
        Shape { fields, required }
    }

    pub(super) fn read(self, reader: &mut Reader<'_>) -> Result<Body, Fault> {
        let all = Fields::read(reader, &self.shape())?;
        Ok(match self {
            Kind::Request => Body::Request(SyncRequest {
                since_version: all.since_version,
                run: all.run,
                cursors: all.cursors,
                head: all.head,
                to: all.to,
                reference: all.reference,
                stored: all.stored_cursor,
                digest: all.digest,
            }),
            Kind::Response => Body::Response(SyncResponse {
                changes: all.changes,
                current_version: all.current_version.unwrap_or_default(),
                run: all.run,
                to: all.to,
                reference: all.reference,
                base_version: all.base_version,
                head: all.head,
                more: all.more,
                part: all.part,
                durable: all.durable,
                account: all.account,
                stored: all.stored_version,
                differ: all.differ,
            }),
            Kind::Push => Body::Push(SyncPush {
                changes: all.changes,
                base_version: all.base_version.unwrap_or_default(),
                run: all.run,
                reference: all.reference,
                current_version: all.current_version,
                head: all.head,
                cursors: all.cursors,
                digest: all.digest,
                differ: all.differ,
                relay: all.relay,
            }),
            Kind::Ack => Body::Ack(SyncAck {
                received_version: all.received_version,
                applied_count: all.applied_count,
                run: all.run,
                to: all.to,
                reference: all.reference,
                durable: all.durable,
                rejected: all.rejected,
                relay: all.relay,
            }),
            Kind::Error => Body::Error(SyncError {
                code: all.code,
                message: all.message,
                retry_after: all.retry_after,
                run: all.run,
                to: all.to,
                reference: all.reference,
                durable: all.durable,
                rejected: all.rejected,
            }),
        })
    }
}

/// What a payload of any type may hold.
#[derive(Default)]
struct Fields {
    account: Option<String>,
    applied_count: u64,
    base_version: Option<i64>,
    changes: Vec<Row>,
    code: String,
    current_version: Option<i64>,
    cursors: Option<Vec<(String, Cursor)>>,
    differ: Option<Vec<String>>,
    digest: Option<Digest>,
    durable: bool,
    head: Option<i64>,
    message: String,
    more: bool,
    part: Option<Part>,
    received_version: i64,
    reference: Option<String>,
    rejected: Vec<Rejected>,
    relay: Option<Place>,
    retry_after: Option<u64>,
    run: Option<Run>,
    since_version: i64,
    stored_cursor: Option<Cursor>,
    stored_version: Option<i64>,
    to: Option<SiteId>,
}

impl Fields {
    fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, Fault> {
        let mut all = Fields::default();
        let mut seen = 0_u32;
        reader.object()?;
        let mut first = true;
        while let Some(name) = reader.name(&mut first)? {
            let known = shape.fields.iter().enumerate().find(|(_, field)| field.0 == name);
            let Some((index, &(name, field))) = known else {
                reader.skip()?;
                continue;
            };
            if seen & (1 << index) != 0 {
                return Err(reader.fault("stands twice").within(name));
            }
            seen |= 1 << index;
            all.read_field(reader, field, index >= shape.required).map_err(|fault| fault.within(name))?;
        }
        match shape.fields.iter().take(shape.required).enumerate().find(|(index, _)| seen & (1 << index) == 0)
        {
            Some((_, (name, _))) => Err(reader.fault("missing").within(name)),
            None => Ok(all),
        }
    }

    fn read_field(&mut self, reader: &mut Reader<'_>, field: Field, optional: bool) -> Result<(), Fault> {
        // An optional field may be null; a flag and a list say nothing by being absent, and are never null.
        if optional && !matches!(field, Field::More | Field::Durable | Field::Rejected) && reader.null()? {
            return Ok(());
        }
        match field {
            Field::Account => self.account = Some(reader.owned()?),
            Field::AppliedCount => self.applied_count = reader.unsigned()?,
            Field::BaseVersion => self.base_version = Some(version(reader)?),
            Field::Changes => self.changes = read_rows(reader)?,
            Field::Code => self.code = reader.owned()?,
            Field::CurrentVersion => self.current_version = Some(version(reader)?),
            Field::Cursors => self.cursors = Some(read_cursors(reader)?),
            Field::Differ => self.differ = Some(reader.list(Reader::owned)?),
            Field::Digest => self.digest = Some(digest::read(reader)?),
            Field::Durable => self.durable = reader.boolean()?,
            Field::Head => self.head = Some(version(reader)?),
            Field::Message => self.message = reader.owned()?,
            Field::More => self.more = reader.boolean()?,
            Field::Part => self.part = Some(Part::read(reader)?),
            Field::ReceivedVersion => self.received_version = version(reader)?,
            Field::Ref => self.reference = Some(reader.owned()?),
            Field::Rejected => self.rejected = reader.list(Rejected::read)?,
            Field::Relay => self.relay = Some(Place::read(reader)?),
            Field::RetryAfter => self.retry_after = Some(reader.unsigned()?),
            Field::Run => self.run = Some(Run::read(reader)?),
            Field::SinceVersion => self.since_version = version(reader)?,
            Field::StoredCursor => self.stored_cursor = Some(Cursor::read(reader)?),
            Field::StoredVersion => self.stored_version = Some(version(reader)?),
            Field::To => self.to = Some(SiteId::read(reader)?),
        }
        Ok(())
    }
}

/// A clock value.
fn version(reader: &mut Reader<'_>) -> Result<i64, Fault> {
    let value = reader.integer()?;
    if (0..=MAX_DB_VERSION).contains(&value) {
        Ok(value)
    } else {
        Err(reader.fault("a version is within 0..=2^53-1"))
    }
}

fn read_cursors(reader: &mut Reader<'_>) -> Result<Vec<(String, Cursor)>, Fault> {
    let (mut cursors, mut first) = (Vec::new(), true);
    reader.object()?;
    while let Some(site) = reader.name(&mut first)? {
        cursors.push((site.into_owned(), Cursor::read(reader)?));
    }
    Ok(cursors)
}

impl Run {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        Run::new(reader.owned()?).ok_or_else(|| reader.fault("a run has 1 to 64 characters"))
    }
}

impl Cursor {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut first = true;
        reader.array()?;
        reader.next(&mut first)?;
        let run = Run::read(reader)?;
        reader.next(&mut first)?;
        let at = version(reader)?;
        let head = if reader.element(&mut first)? { Some(version(reader)?) } else { None };
        // What some later version adds.
        while head.is_some() && reader.element(&mut first)? {
            reader.skip()?;
        }
        Ok(Cursor { run, version: at, head })
    }

    pub(crate) fn write(&self, out: &mut String) {
        out.push('[');
        json::text(out, self.run.as_str());
        for number in std::iter::once(self.version).chain(self.head) {
            out.push(',');
            json::integer(out, number);
        }
        out.push(']');
    }
}

impl Part {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut first = true;
        reader.array()?;
        let mut number = || {
            reader.next(&mut first)?;
            let number = reader.unsigned()?;
            u32::try_from(number).map_err(|_| reader.fault("a number of parts"))
        };
        let part = Part(number()?, number()?);
        reader.close()?;
        Ok(part)
    }
}

impl Place {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut site, mut run, mut base, mut upto) = (None, None, None, None);
        let mut first = true;
        reader.object()?;
        while let Some(name) = reader.name(&mut first)? {
            let twice = match &*name {
                "siteId" => site.replace(SiteId::read(reader)?).is_some(),
                "run" => run.replace(Run::read(reader)?).is_some(),
                "baseVersion" => base.replace(version(reader)?).is_some(),
                "version" => upto.replace(version(reader)?).is_some(),
                _ => {
                    reader.skip()?;
                    false
                }
            };
            if twice {
                return Err(reader.fault("a field stands twice"));
            }
        }
        match (site, run, base, upto) {
            (Some(site_id), Some(run), Some(base_version), Some(version)) => {
                Ok(Place { site_id, run, base_version, version })
            }
            _ => Err(reader.fault("half a place")),
        }
    }

    fn write(&self, out: &mut String) {
        let mut place = Object::new(out);
        place.text("siteId", &encode_base64(&self.site_id.0));
        place.text("run", self.run.as_str());
        place.integer("baseVersion", self.base_version);
        place.integer("version", self.version);
        place.end();
    }
}

impl Rejected {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut index, mut code) = (None, None);
        let mut first = true;
        reader.object()?;
        while let Some(name) = reader.name(&mut first)? {
            let twice = match &*name {
                "index" => index.replace(reader.unsigned()?).is_some(),
                "code" => code.replace(RowCode::read(reader)?).is_some(),
                _ => {
                    reader.skip()?;
                    false
                }
            };
            if twice {
                return Err(reader.fault("a field stands twice"));
            }
        }
        let index = index.and_then(|index| usize::try_from(index).ok());
        index
            .zip(code)
            .map(|(index, code)| Rejected { index, code })
            .ok_or_else(|| reader.fault("half a rejection"))
    }

    fn write(&self, out: &mut String) {
        let mut rejected = Object::new(out);
        rejected.unsigned("index", self.index as u64);
        rejected.text("code", self.code.as_str());
        rejected.end();
    }
}

/// Optional fields, and those that several types have.
impl Object<'_> {
    fn version(&mut self, name: Named, value: Option<i64>) {
        if let Some(value) = value {
            self.integer(name.0, value);
        }
    }

    fn string(&mut self, name: Named, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name.0, value);
        }
    }

    fn run(&mut self, run: Option<&Run>) {
        self.string(RUN, run.map(Run::as_str));
    }

    fn to(&mut self, to: Option<&SiteId>) {
        if let Some(to) = to {
            self.text(TO.0, &encode_base64(&to.0));
        }
    }

    fn rows(&mut self, rows: &[Row]) {
        json::array(self.name(CHANGES.0), rows, write_row);
    }

    fn rejected(&mut self, rejected: &[Rejected]) {
        if !rejected.is_empty() {
            json::array(self.name(REJECTED.0), rejected, |out, rejected| rejected.write(out));
        }
    }

    fn cursors(&mut self, cursors: Option<&Vec<(String, Cursor)>>) {
        if let Some(cursors) = cursors {
            let mut object = Object::new(self.name(CURSORS.0));
            for (site, cursor) in cursors {
                cursor.write(object.name(site));
            }
            object.end();
        }
    }

    fn digest(&mut self, digest: Option<&Digest>) {
        if let Some(digest) = digest {
            digest::write(self.name(DIGEST.0), digest);
        }
    }

    fn differ(&mut self, tables: Option<&Vec<String>>) {
        if let Some(tables) = tables {
            json::array(self.name(DIFFER.0), tables, |out, table| json::text(out, table));
        }
    }

    fn place(&mut self, place: Option<&Place>) {
        if let Some(place) = place {
            place.write(self.name(RELAY.0));
        }
    }
}

impl Body {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Body::Request(_) => "sync_request",
            Body::Response(_) => "sync_response",
            Body::Push(_) => "sync_push",
            Body::Ack(_) => "sync_ack",
            Body::Error(_) => "sync_error",
        }
    }

    pub(super) fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        match self {
            Body::Request(body) => body.write(&mut object),
            Body::Response(body) => body.write(&mut object),
            Body::Push(body) => body.write(&mut object),
            Body::Ack(body) => body.write(&mut object),
            Body::Error(body) => body.write(&mut object),
        }
        object.end();
    }
}

impl SyncRequest {
    fn write(&self, out: &mut Object<'_>) {
        out.integer(SINCE_VERSION.0, self.since_version);
        out.run(self.run.as_ref());
        out.cursors(self.cursors.as_ref());
        out.version(HEAD, self.head);
        out.to(self.to.as_ref());
        out.string(REF, self.reference.as_deref());
        if let Some(stored) = &self.stored {
            stored.write(out.name(STORED_CURSOR.0));
        }
        out.digest(self.digest.as_ref());
    }
}

impl SyncResponse {
    fn write(&self, out: &mut Object<'_>) {
        out.rows(&self.changes);
        out.integer(CURRENT_VERSION.0, self.current_version);
        out.run(self.run.as_ref());
        out.to(self.to.as_ref());
        out.string(REF, self.reference.as_deref());
        out.version(BASE_VERSION, self.base_version);
        out.version(HEAD, self.head);
        out.flag(MORE.0, self.more);
        if let Some(Part(index, count)) = self.part {
            json::array(out.name(PART.0), &[index, count], |out, number| {
                json::integer(out, (*number).into())
            });
        }
        out.flag(DURABLE.0, self.durable);
        out.string(ACCOUNT, self.account.as_deref());
        out.version(STORED_VERSION, self.stored);
        out.differ(self.differ.as_ref());
    }
}

impl SyncPush {
    fn write(&self, out: &mut Object<'_>) {
        out.rows(&self.changes);
        out.integer(BASE_VERSION.0, self.base_version);
        out.run(self.run.as_ref());
        out.string(REF, self.reference.as_deref());
        out.version(CURRENT_VERSION, self.current_version);
        out.version(HEAD, self.head);
        out.cursors(self.cursors.as_ref());
        out.digest(self.digest.as_ref());
        out.differ(self.differ.as_ref());
        out.place(self.relay.as_ref());
    }
}

impl SyncAck {
    fn write(&self, out: &mut Object<'_>) {
        out.integer(RECEIVED_VERSION.0, self.received_version);
        out.unsigned(APPLIED_COUNT.0, self.applied_count);
        out.run(self.run.as_ref());
        out.to(self.to.as_ref());
        out.string(REF, self.reference.as_deref());
        out.flag(DURABLE.0, self.durable);
        out.rejected(&self.rejected);
        out.place(self.relay.as_ref());
    }
}

impl SyncError {
    fn write(&self, out: &mut Object<'_>) {
        out.text(CODE.0, &self.code);
        out.text(MESSAGE.0, &self.message);
        if let Some(ms) = self.retry_after {
            out.unsigned(RETRY_AFTER.0, ms);
        }
        out.run(self.run.as_ref());
        out.to(self.to.as_ref());
        out.string(REF, self.reference.as_deref());
        out.flag(DURABLE.0, self.durable);
        out.rejected(&self.rejected);
    }
}
