//! `flame channel`: live channels.

use anyhow::anyhow;
use flame_api::live::{Channel, ChannelState, NewChannel};
use flame_service_host::config::Span;
use uuid::Uuid;

use crate::args::{self, ChannelCommand, Global};
use crate::connection;
use crate::exit::Exit;
use crate::output;

pub async fn run(global: &Global, args: args::Channel) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        ChannelCommand::Create { title, segment, part, window } => {
            let new = NewChannel {
                id: Uuid::now_v7(),
                title,
                segment_ms: milliseconds(segment),
                part_ms: milliseconds(part),
                window_s: u32::try_from(window.0.as_secs()).unwrap_or(u32::MAX),
            };
            show(global, &client.create_channel(&new).await?)
        }
        ChannelCommand::List => list(global, client.channels().await?.items),
        ChannelCommand::Show { id } => {
            let channel = client.channel(id).await?;
            show(global, &channel.ok_or_else(|| Exit::failed(anyhow!("there is no channel {id}")))?)
        }
        ChannelCommand::Key { id } => show(global, &client.new_channel_key(id).await?),
        ChannelCommand::End { id } => show(global, &client.end_channel(id).await?),
    }
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

fn show(global: &Global, channel: &Channel) -> Result<(), Exit> {
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
    if let Some(key) = &channel.key {
        fact("key (said once)", key.clone());
    }
    fact("plays at", connection::play_url(&global.router, channel.id).to_string());
    output::wrap_only(&mut facts, 1);
    output::print_line(&facts.trim_fmt())
}

fn state(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Idle => "idle",
        ChannelState::Live => "live",
        ChannelState::Ended => "ended",
    }
}
