//! What Percept cannot decode itself, decoded by the `ffmpeg` program where there is one.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Deserialize;

use super::limits::{FFMPEG_PATIENCE, MAX_FFMPEG_MESSAGES, MAX_FFPROBE_OUTPUT, MAX_TRACKS};
use super::reader::{Step, StreamInfo, check_stream, no_such_track};
use crate::error::{one_line, some_of};
use crate::{Error, ErrorKind, Result};

/// Names another program than the `ffmpeg` on the PATH; `ffprobe` is looked for beside it. A path where there
/// is no program turns the help of ffmpeg off.
pub const FFMPEG_VARIABLE: &str = "PERCEPT_FFMPEG";

/// What ffmpeg and ffprobe may open: files, and of them those that hold what they play. A playlist, a description of a
/// presentation or a script (`hls`, `concat`, `dash`, `imf`, `sdp`, `image2`, `vobsub`, `avisynth`, ...) names other files, which
/// a stranger would choose.
pub(super) const CONFINED: [&str; 4] = ["-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS];

/// Names of ffmpeg's demuxers.
const CONTAINERS: &str = "3dostr,4xm,aa,aac,aax,ac3,ace,acm,act,ads,adx,aea,afc,aiff,aix,alp,amr,amrnb,amrwb,anm,apc,ape,apm,apng,\
     argo_asf,argo_brp,argo_cvg,asf,asf_o,ast,au,av1,avi,avr,avs,avs2,avs3,bethsoftvid,bfi,bfstm,bink,binka,bit,\
     bmv,boa,brstm,c93,caf,cavsvideo,cdg,cdxl,cine,codec2,daud,dcstr,derf,dfa,dfpwm,dhav,dirac,dnxhd,dsf,dsicin,\
     dss,dts,dtshd,dv,dxa,ea,ea_cdata,eac3,epaf,evc,film_cpk,filmstrip,flac,flic,flv,frm,fsb,fwse,g723_1,g729,gdv,\
     genh,gif,gxf,h261,h263,h264,hca,hcom,hevc,hnm,iamf,ico,idcin,iff,ifv,ilbc,ingenient,ipmovie,ipu,ircam,iss,\
     iv8,ivf,ivr,jpegxl_anim,jv,kux,kvag,laf,libgme,libopenmpt,live_flv,lmlm4,loas,luodat,lvf,lxf,m4v,matroska,\
     mca,mgsts,mjpeg,mjpeg_2000,mlp,mlv,mm,mmf,mods,moflex,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mpjpeg,msf,\
     msnwctcp,msp,mtaf,mtv,musx,mv,mvi,mxf,mxg,nc,nistsphere,nsp,nsv,nut,nuv,obu,ogg,oma,osq,paf,pmp,pp_bnk,\
     psxstr,pva,pvf,qcp,qoa,r3d,redspark,rka,rl2,rm,roq,rpl,rsd,rso,s337m,scd,sdns,sdr2,sds,sdx,ser,sga,shn,siff,\
     simbiosis_imx,smjpeg,smk,smush,sol,sox,spdif,svag,svs,swf,tak,thp,tiertexseq,tmv,truehd,tta,txd,ty,usm,vag,\
     vc1,vc1test,vividas,vivo,vmd,voc,vpk,vqf,vvc,w64,wady,wav,wavarc,wc3movie,webm,wsaud,wsd,wsvqa,wtv,wv,wve,xa,\
     xmd,xmv,xvag,xwma,yop,yuv4mpegpipe,adp,alaw,aptx,aptx_hd,g722,g726,g726le,gsm,mpegtsraw,mulaw,sbc,sln";

struct Programs {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
}

/// Why ffmpeg cannot be asked.
#[derive(Debug, PartialEq)]
enum Missing {
    Ffmpeg,
    /// `PERCEPT_FFMPEG` names no program.
    Named(PathBuf),
    /// `ffprobe` does not stand beside this `ffmpeg`, nor on the PATH.
    Ffprobe(PathBuf),
}

impl Missing {
    /// What to do about it.
    fn advice(&self) -> String {
        match self {
            Self::Ffmpeg => {
                "install ffmpeg (https://ffmpeg.org) and Percept will use it to read this file".into()
            }
            Self::Named(path) => format!(
                "{FFMPEG_VARIABLE} names {}, where there is no program: correct it, or install ffmpeg \
                 (https://ffmpeg.org) and unset it",
                path.display()
            ),
            Self::Ffprobe(ffmpeg) => format!(
                "put ffprobe, which comes with ffmpeg, beside {} and Percept will use both to read this file",
                ffmpeg.display()
            ),
        }
    }
}

fn programs() -> std::result::Result<Programs, Missing> {
    find(std::env::var_os(FFMPEG_VARIABLE).map(PathBuf::from), std::env::var_os("PATH").as_deref())
}

/// The two programs, by what the environment says.
fn find(named: Option<PathBuf>, path: Option<&OsStr>) -> std::result::Result<Programs, Missing> {
    let name = named.clone().unwrap_or_else(|| "ffmpeg".into());
    let ffmpeg = if name.components().count() > 1 { existing(name) } else { on_path(&name, path) }
        .ok_or_else(|| named.map_or(Missing::Ffmpeg, Missing::Named))?;
    // ffmpeg-7.exe goes with ffprobe-7.exe.
    let own = ffmpeg.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = match own.replace("ffmpeg", "ffprobe") {
        name if name == own => Path::new("ffprobe").with_extension(std::env::consts::EXE_EXTENSION),
        name => name.into(),
    };
    match existing(ffmpeg.with_file_name(beside)).or_else(|| on_path(Path::new("ffprobe"), path)) {
        Some(ffprobe) => Ok(Programs { ffmpeg, ffprobe }),
        None => Err(Missing::Ffprobe(ffmpeg)),
    }
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

fn on_path(name: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_os_str().is_empty() {
        return None;
    }
    let name = if name.extension().is_some() {
        name.to_path_buf()
    } else {
        name.with_extension(std::env::consts::EXE_EXTENSION)
    };
    std::env::split_paths(path?).find_map(|folder| existing(folder.join(&name)))
}

/// Whether ffmpeg can be asked.
pub fn is_available() -> bool {
    programs().is_ok()
}

/// What to do so that ffmpeg can be asked.
pub(super) fn advice() -> Option<String> {
    programs().err().map(|missing| missing.advice())
}

/// The `ffmpeg` program, to be told what to do with a file that could not be read for the reason `native`.
pub(super) fn decoder(native: &Error) -> Result<Command> {
    programs().map(|programs| Command::new(programs.ffmpeg)).map_err(|_| native.clone())
}

/// What `ffprobe` prints.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    pub streams: Vec<ReportStream>,
    /// Of a transport stream.
    #[serde(default)]
    programs: Vec<Program>,
    #[serde(default)]
    format: ReportFormat,
}

#[derive(Debug, Deserialize)]
struct Program {
    program_id: u32,
    #[serde(default)]
    streams: Vec<ProgramStream>,
}

#[derive(Debug, Deserialize)]
struct ProgramStream {
    /// Position among all streams.
    index: usize,
}

#[derive(Debug, Default, Deserialize)]
struct ReportFormat {
    #[serde(default)]
    format_name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReportStream {
    #[serde(default)]
    pub codec_type: String,
    #[serde(default)]
    codec_name: Option<String>,
    #[serde(default)]
    sample_rate: Option<String>,
    #[serde(default)]
    pub channels: usize,
    #[serde(default)]
    pub width: Option<u32>,
    #[serde(default)]
    pub height: Option<u32>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    tags: Tags,
}

#[derive(Debug, Default, Deserialize)]
struct Disposition {
    #[serde(default)]
    default: u8,
    /// Cover art, or pictures of chapters.
    #[serde(default)]
    attached_pic: u8,
}

#[derive(Debug, Default, Deserialize)]
struct Tags {
    #[serde(default)]
    language: Option<String>,
}

impl ReportStream {
    /// Whether it is a video, and no cover art.
    pub fn is_video(&self) -> bool {
        self.codec_type == "video" && self.disposition.attached_pic == 0
    }

    pub fn is_default(&self) -> bool {
        self.disposition.default != 0
    }

    pub fn codec(&self) -> String {
        self.codec_name.clone().unwrap_or_else(|| "unknown".into())
    }

    pub fn sample_rate(&self) -> u32 {
        self.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0)
    }

    pub fn language(&self) -> Option<String> {
        self.tags.language.clone()
    }
}

impl Report {
    /// The short name used in Percept; ffmpeg gives lists such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub fn container(&self) -> String {
        match self.format.format_name.as_str() {
            list if list.split(',').any(|name| name == "mp4") => "mp4".into(),
            list if list.starts_with("matroska") => "mkv".into(),
            list => list.split(',').next().unwrap_or("unknown").into(),
        }
    }

    pub fn audio(&self) -> impl Iterator<Item = &ReportStream> {
        self.streams.iter().filter(|stream| stream.codec_type == "audio")
    }

    /// Positions of the video streams among all; of one programme, where it is asked for.
    pub fn video(&self, program: Option<u32>) -> Result<Vec<usize>> {
        let streams = self.streams.iter().enumerate().filter(|(_, stream)| stream.is_video());
        let mut indices: Vec<usize> = streams.map(|(index, _)| index).collect();
        if let Some(number) = program {
            let Some(program) = self.programs.iter().find(|program| program.program_id == number) else {
                let numbers = self.programs.iter().map(|program| program.program_id.to_string());
                let numbers: Vec<String> = numbers.collect();
                return Err(no_such_program(number, &numbers));
            };
            indices.retain(|index| program.streams.iter().any(|stream| stream.index == *index));
        }
        Ok(indices)
    }

    /// Position of the default among the audio streams.
    pub fn default_track(&self) -> usize {
        self.audio().position(|stream| stream.is_default()).unwrap_or(0)
    }
}

/// The error where a programme is asked for, and those with these numbers are there.
pub(super) fn no_such_program(asked: u32, there: &[String]) -> Error {
    let why = match there {
        [] => "only MPEG transport streams have programmes".to_string(),
        numbers => format!("the file has {}", some_of(numbers)),
    };
    Error::new(ErrorKind::Config, format!("there is no programme {asked}: {why}"))
}

/// Asks `ffprobe` about a file that Percept itself could not read, for the reason `native`.
pub(super) fn report(path: &Path, native: &Error) -> Result<Report> {
    let programs = match programs() {
        Ok(programs) => programs,
        Err(_) if native.kind == ErrorKind::Empty => return Err(native.clone()),
        Err(missing) => {
            let message = format!("{}; {}", native.message, missing.advice());
            return Err(Error { message, ..native.clone() });
        }
    };
    let mut child = Command::new(&programs.ffprobe)
        .args(["-v", "error"])
        .args(CONFINED)
        .args(["-of", "json", "-show_entries"])
        .arg(
            "format=format_name:stream=codec_type,codec_name,sample_rate,channels,width,height:\
             stream_disposition=default,attached_pic:stream_tags=language:\
             program=program_id:program_stream=index",
        )
        .arg("-i")
        .arg(file_url(path))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| tool_failed(&programs.ffprobe, &e.to_string()))?;
    // The output comes through a thread, so that a program that hangs does not hang Percept.
    let (sender, receiver) = sync_channel(1);
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut json = Vec::new();
        let read = stdout.map(|stdout| stdout.take(MAX_FFPROBE_OUTPUT).read_to_end(&mut json));
        let _ = sender.send(read.map(|_| json));
    });
    let json = receiver.recv_timeout(Duration::from_secs(FFMPEG_PATIENCE));
    let _ = child.kill();
    let _ = child.wait();
    let _ = reader.join();
    let json = match json {
        Ok(json) => json.unwrap_or_default(),
        Err(_) => return Err(tool_failed(&programs.ffprobe, "it gave no answer in time")),
    };
    let report: Report = serde_json::from_slice(&json).unwrap_or_default();
    if report.streams.is_empty() {
        let message = match native.kind {
            ErrorKind::UnknownFormat => {
                "neither Percept nor ffmpeg finds sound or pictures in it: it is damaged, or no media file at all".into()
            }
            _ => format!("{}; ffmpeg cannot read it either", native.message),
        };
        return Err(Error { message, ..native.clone() });
    }
    if report.streams.len() > MAX_TRACKS {
        let message = format!("the file has {} tracks, more than {MAX_TRACKS}", report.streams.len());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(report)
}

/// One audio stream decoded by a running `ffmpeg`, its samples read from a pipe.
pub(super) struct FfmpegSource {
    child: Child,
    blocks: Receiver<std::io::Result<Vec<u8>>>,
    messages: Option<JoinHandle<Vec<u8>>>,
    channels: usize,
    /// Bytes of a frame that is not complete yet.
    rest: Vec<u8>,
    /// The first block, read when opening.
    first: Option<Vec<f32>>,
    ended: bool,
    warnings: Vec<String>,
}

/// Starts ffmpeg on an audio track of a file that Percept itself could not read, for the reason `native`.
pub(super) fn open(
    path: &Path,
    audio_track: Option<usize>,
    native: Error,
) -> Result<(FfmpegSource, StreamInfo)> {
    let report = report(path, &native)?;
    let tracks = report.audio().count();
    if tracks == 0 {
        let empty = Error::new(ErrorKind::Empty, "the file holds no audio track");
        return Err(if native.kind == ErrorKind::Empty { native } else { empty });
    }
    let track = audio_track.unwrap_or_else(|| report.default_track());
    let stream = report.audio().nth(track).ok_or_else(|| no_such_track(track, tracks))?;
    let (sample_rate, channels) = (stream.sample_rate(), stream.channels);
    if sample_rate == 0 || channels == 0 {
        return Err(Error {
            message: format!("{}; ffmpeg finds no sound in it either", native.message),
            ..native
        });
    }
    check_stream(sample_rate, channels)?;
    let info = StreamInfo { container: report.container(), codec: stream.codec(), sample_rate, channels };
    let mut source = FfmpegSource::start(path, track, sample_rate, channels, &native)?;
    let mut block = Vec::new();
    match source.next_block(&mut block) {
        Step::Block => source.first = Some(block),
        Step::End | Step::Broken(_) | Step::Failed(_) => {
            let said = source.warnings.pop().map_or(String::new(), |said| format!(" ({said})"));
            let kind = if native.kind == ErrorKind::UnknownFormat { ErrorKind::Damaged } else { native.kind };
            let message = match native.kind {
                ErrorKind::UnknownFormat => {
                    format!("ffmpeg decodes no sound from this {} stream{said}", info.codec)
                }
                _ => format!("{}; ffmpeg decodes no sound from it either{said}", native.message),
            };
            return Err(Error { kind, message, ..native });
        }
    }
    Ok((source, info))
}

impl FfmpegSource {
    fn start(path: &Path, track: usize, sample_rate: u32, channels: usize, native: &Error) -> Result<Self> {
        let programs = programs().map_err(|_| native.clone())?;
        let mut child = Command::new(&programs.ffmpeg)
            // Threads differ from run to run in what they make of damage.
            .args(["-nostdin", "-v", "error", "-threads", "1"])
            .args(CONFINED)
            .arg("-i")
            .arg(file_url(path))
            .args(["-map", &format!("0:a:{track}"), "-vn", "-sn", "-dn", "-map_metadata", "-1"])
            // A stream that changes on the way is brought to what was announced.
            .args(["-ar", &sample_rate.to_string(), "-ac", &channels.to_string()])
            .args(["-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| tool_failed(&programs.ffmpeg, &e.to_string()))?;
        // Both pipes are emptied by threads: ffmpeg never waits for us on one while we wait on the other.
        let (sender, blocks) = sync_channel(4);
        if let Some(mut stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                loop {
                    let mut bytes = Vec::with_capacity(1 << 16);
                    let read = (&mut stdout).take(1 << 16).read_to_end(&mut bytes);
                    let last = bytes.is_empty() || read.is_err();
                    // The receiver is gone when the reader was dropped: then nobody wants the rest.
                    if sender.send(read.map(|_| bytes)).is_err() || last {
                        return;
                    }
                }
            });
        }
        let messages = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = (&mut stderr).take(MAX_FFMPEG_MESSAGES).read_to_end(&mut text);
                // The rest is read and forgotten.
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
                text
            })
        });
        let warnings = Vec::new();
        Ok(Self { child, blocks, messages, channels, rest: Vec::new(), first: None, ended: false, warnings })
    }

    /// Fills `block` with interleaved samples.
    pub fn next_block(&mut self, block: &mut Vec<f32>) -> Step {
        if let Some(first) = self.first.take() {
            *block = first;
            return Step::Block;
        }
        let frame_bytes = self.channels * 4;
        while !self.ended {
            let bytes = match self.blocks.recv_timeout(Duration::from_secs(FFMPEG_PATIENCE)) {
                Ok(Ok(bytes)) if !bytes.is_empty() => bytes,
                Ok(Ok(_)) | Err(RecvTimeoutError::Disconnected) => {
                    self.finish();
                    break;
                }
                Ok(Err(error)) => {
                    self.ended = true;
                    return Step::Broken(format!("the pipe from ffmpeg broke: {error}"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.ended = true;
                    return Step::Broken(format!(
                        "ffmpeg gave nothing for {FFMPEG_PATIENCE} s and was stopped"
                    ));
                }
            };
            self.rest.extend_from_slice(&bytes);
            let whole = self.rest.len() / frame_bytes * frame_bytes;
            let (samples, _) = self.rest[..whole].as_chunks::<4>();
            block.extend(samples.iter().map(|&word| f32::from_le_bytes(word)));
            self.rest.drain(..whole);
            if !block.is_empty() {
                return Step::Block;
            }
        }
        Step::End
    }

    /// The output has ended: what ffmpeg said, and how it went out, become a warning.
    fn finish(&mut self) {
        self.ended = true;
        let status = self.child.wait();
        let said = self.messages.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let failed = !status.is_ok_and(|status| status.success());
        let first = lines.first().map(|first| without_addresses(first.trim()));
        self.warnings.extend(what_it_said(first.as_deref(), lines.len(), failed));
    }

    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

impl Drop for FfmpegSource {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The warning after ffmpeg has ended: the first of so many messages, and whether it stopped with an error.
pub(super) fn what_it_said(first: Option<&str>, messages: usize, failed: bool) -> Option<String> {
    let Some(first) = first else { return failed.then(|| "ffmpeg stopped with an error".into()) };
    // Their number differs from run to run.
    let more = if messages > 1 { " (and more messages)" } else { "" };
    let stopped = if failed { "; it stopped with an error" } else { "" };
    Some(one_line(&format!("ffmpeg said: {first}{more}{stopped}")))
}

/// `file:PATH`: then no name is taken for an option or another protocol.
pub(super) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// ffmpeg names its parts with an address (`[flac @ 0x55e0]`), which differs from run to run.
pub(super) fn without_addresses(message: &str) -> String {
    let mut parts = message.split(" @ 0x");
    let mut text = parts.next().unwrap_or_default().to_string();
    for part in parts {
        text += part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    text
}

fn tool_failed(program: &Path, what: &str) -> Error {
    Error::new(ErrorKind::ExternalTool, format!("could not run {}: {what}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_same_in_every_run() {
        let said = "[flac @ 0x5577521a0c40] invalid sync code";
        assert_eq!(without_addresses(said), "[flac] invalid sync code");
        assert_eq!(without_addresses("no address"), "no address");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let exe = |name: &str| folder.path().join(name).with_extension(std::env::consts::EXE_EXTENSION);
        let path = Some(folder.path().as_os_str());
        let missing = |named: Option<PathBuf>| find(named, path).err();
        assert_eq!(missing(None), Some(Missing::Ffmpeg));
        assert_eq!(missing(Some(exe("other"))), Some(Missing::Named(exe("other"))));
        assert!(Missing::Named("x/y".into()).advice().starts_with("PERCEPT_FFMPEG names x/y,"));

        std::fs::write(exe("ffmpeg"), "").unwrap();
        assert_eq!(missing(None), Some(Missing::Ffprobe(exe("ffmpeg"))));
        assert!(!missing(None).unwrap().advice().contains("install"));

        std::fs::write(exe("ffprobe"), "").unwrap();
        assert_eq!(missing(None), None);
        // A program of another name is not asked as ffprobe.
        std::fs::write(exe("mine"), "").unwrap();
        assert_eq!(find(Some(exe("mine")), None).unwrap_or_else(|e| panic!("{e:?}")).ffprobe, exe("ffprobe"));
    }
}
