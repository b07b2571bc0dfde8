//! `flame channel`: live channels.

mod doors;

use anyhow::anyhow;
use flame_api::Client;
use flame_api::live::{
    Channel, ChannelState, LadderState, LiveLadder, Mark, MarkValue, NewChannel, NewMark, Source, SourceState,
};
use flame_api::metadata::Encryption;
use flame_service_host::config::Span;
use uuid::Uuid;

use crate::args::{self, ChannelCommand, Global};
use crate::connection;
use crate::exit::Exit;
use crate::output;

pub async fn run(global: &Global, args: args::Channel) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        ChannelCommand::Create { title, segment, part, window, keep, pull, loop_asset, ladder, encrypt } => {
            let new = NewChannel {
                id: Uuid::now_v7(),
                title,
                segment_ms: milliseconds(segment),
                part_ms: milliseconds(part),
                window_s: seconds(window),
                keep_s: keep.map(seconds),
                source: pull.map(|url| Source::Pull(url.into())).or(loop_asset.map(Source::Loop)),
                ladder: ladder.map(|rungs| LiveLadder { rungs }),
                encryption: encrypt.map(args::Method::encryption),
            };
            show(global, &client, &client.create_channel(&new).await?).await
        }
        ChannelCommand::List => list(global, client.channels().await?.items),
        ChannelCommand::Show { id } => {
            let channel = client.channel(id).await?;
            let channel = channel.ok_or_else(|| Exit::failed(anyhow!("there is no channel {id}")))?;
            show(global, &client, &channel).await
        }
        ChannelCommand::Mark(mark) => {
            let id = mark.id.clone().unwrap_or_else(|| Uuid::now_v7().simple().to_string());
            let made = client.mark_channel(mark.channel, &id, &new_mark(mark)).await?;
            marks(global, vec![made])
        }
        ChannelCommand::Marks { id } => marks(global, client.marks(id).await?.items),
        ChannelCommand::Key { id } => show(global, &client, &client.new_channel_key(id).await?).await,
        ChannelCommand::End { id } => show(global, &client, &client.end_channel(id).await?).await,
    }
}

fn new_mark(mark: args::ChannelMark) -> NewMark {
    let ms = |span: Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
    NewMark {
        class: mark.class,
        start: mark.start,
        end: mark.end,
        duration_ms: mark.duration.map(ms),
        planned_duration_ms: mark.planned.map(ms),
        ends_on_next: mark.until_next.then_some(true),
        scte35_out: mark.scte35_out,
        scte35_in: mark.scte35_in,
        scte35_command: None,
        attributes: mark.attribute.into_iter().map(|(name, value)| (name, MarkValue::Text(value))).collect(),
    }
}

fn marks(global: &Global, marks: Vec<Mark>) -> Result<(), Exit> {
    if global.json {
        return output::print_json(&marks);
    }
    if marks.is_empty() {
        return output::print_line("no marks; `flame channel mark CHANNEL --class ad --duration 30s` makes one");
    }
    let mut table = output::table(&["mark", "class", "start", "length"]);
    for mark in marks {
        let length = match (mark.duration_ms, mark.planned_duration_ms, mark.ends_on_next) {
            (Some(ms), _, _) => output::clock(ms),
            (None, _, true) => "until the next one".to_owned(),
            (None, Some(ms), false) => format!("{} (planned)", output::clock(ms)),
            (None, None, false) => "open".to_owned(),
        };
        table.add_row([mark.id, mark.class.unwrap_or_default(), output::moment(mark.start), length]);
    }
    output::print_line(&table.trim_fmt())
}

fn seconds(span: Span) -> u32 {
    u32::try_from(span.0.as_secs()).unwrap_or(u32::MAX)
}

fn milliseconds(span: Span) -> u32 {
    u32::try_from(span.0.as_millis()).unwrap_or(u32::MAX)
}

fn list(global: &Global, channels: Vec<Channel>) -> Result<(), Exit> {
    if global.json {
        return output::print_json(&channels);
    }
    if channels.is_empty() {
        return output::print_line("no channels; `flame channel create TITLE` makes one");
    }
    let mut table = output::table(&["channel", "title", "state", "window", "created"]);
    for channel in channels {
        table.add_row([
            channel.id.to_string(),
            channel.title,
            state(channel.state).to_owned(),
            output::clock(u64::from(channel.window_s) * 1000),
            output::moment(channel.created_at),
        ]);
    }
    output::wrap_only(&mut table, 1);
    output::print_line(&table.trim_fmt())
}

async fn show(global: &Global, client: &Client, channel: &Channel) -> Result<(), Exit> {
    if global.json {
        return output::print_json(channel);
    }
    let mut facts = output::table(&["", ""]);
    let mut fact = |name: &str, value: String| {
        facts.add_row([name.to_owned(), value]);
    };
    fact("channel", channel.id.to_string());
    fact("title", channel.title.clone());
    fact("state", state(channel.state).to_owned());
    let seconds = |ms: u32| format!("{} s", f64::from(ms) / 1000.0);
    fact("segments, parts", format!("{}, {}", seconds(channel.segment_ms), seconds(channel.part_ms)));
    fact("window", output::clock(u64::from(channel.window_s) * 1000));
    fact(
        "kept",
        channel.keep_s.map_or_else(|| "all of it".to_owned(), |keep_s| output::clock(u64::from(keep_s) * 1000)),
    );
    if let Some(encryption) = channel.encryption {
        let method = match encryption {
            Encryption::Aes128 => "aes-128",
            Encryption::SampleAes => "sample-aes",
        };
        fact("encrypted", method.to_owned());
    }
    if let Some(source) = &channel.source {
        fact("source", from(&source.from));
        let state = match source.state {
            SourceState::Waiting => "waiting",
            SourceState::Playing => "playing",
            SourceState::Over => "over",
        };
        fact("source is", source.error.as_ref().map_or_else(|| state.to_owned(), |error| format!("{state}: {error}")));
    }
    if let Some(ladder) = &channel.ladder {
        let rungs = ladder.rungs.iter().map(|rung| format!("{rung} lines"));
        let rungs: Vec<_> = if ladder.tracks.is_empty() { rungs.collect() } else { ladder.tracks.clone() };
        fact("ladder", if rungs.is_empty() { "as transcode is set to".to_owned() } else { rungs.join(", ") });
        let state = match ladder.state {
            LadderState::Waiting => "waiting",
            LadderState::Running => "running",
            LadderState::Behind => "behind: the machine does not keep up, and segments are left out",
        };
        let said = ladder.error.as_ref().filter(|_| ladder.state != LadderState::Behind);
        fact("ladder is", said.map_or_else(|| state.to_owned(), |error| format!("{state}: {error}")));
    }
    if let Some(clock) = &channel.clock {
        let runs = match clock.ppm {
            ppm if ppm > 0 => format!("{ppm} ppm fast"),
            ppm => format!("{} ppm slow", -ppm),
        };
        fact("encoder's clock", format!("{runs}; times are corrected by {} ms", clock.correction_ms));
    }
    if let Some(key) = &channel.key {
        fact("key (said once)", key.clone());
    }
    fact("plays at", connection::play_url(&global.router, channel.id).to_string());
    output::wrap_only(&mut facts, 1);
    output::print_line(&facts.trim_fmt())?;
    if channel.state == ChannelState::Ended {
        return Ok(());
    }
    // Without the doors, what is known of the channel is still right.
    let Ok(doors) = client.live_doors().await else { return Ok(()) };
    let push = client.url("ingest", "push");
    let key = channel.key.as_deref().unwrap_or("KEY");
    let ways = doors::ways(&doors, &global.router, &push, key, f64::from(channel.segment_ms) / 1000.0);
    output::print_line(&format!("\n{}", ways.join("\n")))
}

fn from(source: &Source) -> String {
    match source {
        Source::Pull(url) => format!("pulled from {url}"),
        Source::Loop(asset) => format!("asset {asset}, over and over again"),
    }
}

fn state(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Idle => "idle",
        ChannelState::Live => "live",
        ChannelState::Ended => "ended",
    }
}
