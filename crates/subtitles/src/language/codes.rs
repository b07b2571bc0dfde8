//! Codes that have a better one: ISO 639-2 of three letters whose language has two (RFC 5646 section 2.2.1), and tags
//! that IANA's register of language subtags withdrew in favour of another.

/// Three letters and the two that stand for them, sorted. Both kinds of ISO 639-2: terminology (`deu`) and bibliography
/// (`ger`). From Debian's `iso-codes`: the entries of `iso_639-2.json` that have an `alpha_2`.
const SHORTER: &str = "aaraa abkab afraf akaak albsq amham araar argan armhy asmas avaav aveae aymay azeaz bakba bambm baqeu belbe \
     benbn bihbh bisbi bodbo bosbs brebr bulbg burmy catca cescs chach chece chizh chucu chvcv corkw cosco crecr \
     cymcy czecs danda deude divdv dutnl dzodz ellel engen epoeo estet euseu eweee faofo fasfa fijfj finfi frafr \
     frefr fryfy fulff geoka gerde glagd glega glggl glvgv greel grngn gujgu hatht hauha hebhe herhz hinhi hmoho \
     hrvhr hunhu hyehy iboig iceis idoio iiiii ikuiu ileie inaia indid ipkik islis itait javjv jpnja kalkl kankn \
     kasks katka kaukr kazkk khmkm kikki kinrw kirky komkv konkg korko kuakj kurku laolo latla lavlv limli linln \
     litlt ltzlb lublu luglg macmk mahmh malml maomi marmr mayms mkdmk mlgmg mltmt monmn mrimi msams myamy nauna \
     navnv nblnr ndend ndong nepne nldnl nnonn nobnb norno nyany ocioc ojioj orior ormom ossos panpa perfa plipi \
     polpl porpt pusps quequ rohrm ronro rumro runrn rusru sagsg sansa sinsi slksk slosk slvsl smese smosm snasn \
     sndsd somso sotst spaes sqisq srdsc srpsr sswss sunsu swasw swesv tahty tamta tattt telte tgktg tgltl thath \
     tibbo tirti tonto tsntn tsots tuktk turtr twitw uigug ukruk urdur uzbuz venve vievi volvo welcy wlnwa wolwo \
     xhoxh yidyi yoryo zhaza zhozh zulzu";

/// Bytes of an entry, and from one to the next.
const ENTRY_BYTES: usize = 5;
const STEP_BYTES: usize = ENTRY_BYTES + 1;

/// Codes of two letters that were replaced.
const WITHDRAWN: [(&str, &str); 5] = [("in", "id"), ("iw", "he"), ("ji", "yi"), ("jw", "jv"), ("mo", "ro")];

/// Whole tags (RFC 5646 section 2.2.8, grandfathered) that have a better one.
const WHOLE: [(&str, &str); 21] = [
    ("art-lojban", "jbo"),
    ("en-GB-oed", "en-GB-oxendict"),
    ("i-ami", "ami"),
    ("i-bnn", "bnn"),
    ("i-hak", "hak"),
    ("i-klingon", "tlh"),
    ("i-lux", "lb"),
    ("i-navajo", "nv"),
    ("i-pwn", "pwn"),
    ("i-tao", "tao"),
    ("i-tay", "tay"),
    ("i-tsu", "tsu"),
    ("no-bok", "nb"),
    ("no-nyn", "nn"),
    ("sgn-BE-FR", "sfb"),
    ("sgn-BE-NL", "vgt"),
    ("sgn-CH-DE", "sgg"),
    ("zh-guoyu", "cmn"),
    ("zh-hakka", "hak"),
    ("zh-min-nan", "nan"),
    ("zh-xiang", "hsn"),
];

/// Those that have none.
const IRREGULAR: [&str; 5] = ["cel-gaulish", "i-default", "i-enochian", "i-mingo", "zh-min"];

/// The code that should be written for a language.
pub fn shortest(language: &str) -> &str {
    if let Some((_, instead)) = WITHDRAWN.iter().find(|(code, _)| *code == language) {
        return instead;
    }
    let entries = SHORTER.len().div_ceil(STEP_BYTES);
    let entry = |at: usize| &SHORTER[at * STEP_BYTES..at * STEP_BYTES + ENTRY_BYTES];
    let (mut from, mut to) = (0, entries);
    while from < to {
        let middle = usize::midpoint(from, to);
        let (three, two) = entry(middle).split_at(3);
        match three.cmp(language) {
            std::cmp::Ordering::Equal => return two,
            std::cmp::Ordering::Less => from = middle + 1,
            std::cmp::Ordering::Greater => to = middle,
        }
    }
    language
}

/// The tag that should be written for a whole one.
pub fn instead_of_whole(tag: &str) -> Option<&'static str> {
    WHOLE.iter().find(|(whole, _)| whole.eq_ignore_ascii_case(tag)).map(|(_, instead)| *instead)
}

/// Whether it is a whole tag for which there is no other.
pub fn is_irregular(tag: &str) -> bool {
    IRREGULAR.iter().any(|whole| whole.eq_ignore_ascii_case(tag))
}

/// Every code of three letters that has a shorter one.
#[cfg(test)]
pub fn all() -> impl Iterator<Item = &'static str> {
    SHORTER.split(' ').map(|entry| &entry[..3])
}
