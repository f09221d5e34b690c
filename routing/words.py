"""The words that say what kind of place a name names, in every language and script: «кўчаси», «улица», «tumani».

Keyed by their folded form. Not here: how a text is cut at them (addresses).
"""

from typing import Final, Literal

from routing.names import fold

Side = Literal["before", "behind"]

FINE: Final = ("street", "house", "quarter", "mahalla")
"""Kinds that make an address: smaller than a settlement."""

_BEHIND: Final = {
    "district": "tumani tuman tum туман тумани район района районе rayon rayoni rayonı raion district",
    "city": "shahri shahar shahrining sh шаҳри шаҳар шахри шахар ш qala qalası қаласы",
    "region": "viloyati viloyat вилояти вилоят область области обл oblast oblasti wálayatı walayatı уәлаяты region "
    "respublikasi respublika республикаси республика province",
    "village": "qishlogʻi qishloq қишлоғи қишлоқ кишлоги awılı awıl ауылы ауыл village qoʻrgʻonchasi",
    "town": "shaharchasi shaharcha шаҳарчаси шаҳарча",
    "street": "koʻchasi koʻcha кўчаси кўча kuchasi kucha кучаси куча kóshesi kóshe kúshesi көшеси көше street str st "
    "prospekti шоҳкўча prospekt avenue ave xiyoboni хиёбони yoʻlagi lane road koʻch kocha kochasi",
    "quarter": "mavzesi mavze мавзеси мавзе mavzeyi dahasi daha даҳаси даҳа massivi massiv массиви kvartali kvartal "
    "mikrorayoni mikrorayon mkr turar-joy block quarter dahası",
    "mahalla": "mahallasi mahalla маҳалласи маҳалла mfy мфй мсг mfj máhállesi máhálle makan mápj",
    "park": "bogʻi боғи park parki парки istirohat",
    "metro": "metrosi metro метро метроси subway",
    "market": "bozori bozor бозори бозор bazari bazarı bazaar bazar market mall",
    "hospital": "shifoxonasi shifoxona шифохонаси шифохона kasalxonasi kasalxona касалхонаси касалхона hospital "
    "emlewxanası gospitali",
    "clinic": "poliklinikasi poliklinika поликлиникаси clinic",
    "school": "maktabi maktab мактаби мактаб school mektebi",
    "kindergarten": "bogʻchasi bogʻcha боғчаси kindergarten",
    "station": "vokzali vokzal вокзали bekati bekat бекати бекат stansiyasi stansiya station",
    "airport": "aeroporti aeroport аэропорти airport",
    "mosque": "masjidi masjid масжиди мечети mosque",
}
_BEFORE: Final = {
    "city": "город города городе гор г city",
    "village": "село с кишлак посёлок поселок пос п аул деревня",
    "town": "пгт",
    "street": "улица улице улицы ул проспект проспекте пр просп переулок пер тупик туп проезд бульвар шоссе аллея "
    "набережная",
    "quarter": "квартал квартале кварт массив массиве микрорайон микрорайоне мкр мкрн жилмассив",
    "mahalla": "махалля махалле махалла мсг",
    "park": "парк парке сквер сад",
    "market": "рынок рынке базар базаре маркет",
    "hospital": "больница больнице госпиталь клиника",
    "clinic": "поликлиника поликлинике",
    "school": "школа школе",
    "kindergarten": "детсад садик",
    "station": "вокзал станция остановка остановке",
    "airport": "аэропорт аэропорту",
    "mosque": "мечеть",
}


def _table() -> dict[str, tuple[str, Side]]:
    sides: tuple[tuple[dict[str, str], Side], ...] = ((_BEFORE, "before"), (_BEHIND, "behind"))
    return {fold(word): (kind, side) for words, side in sides for kind, each in words.items() for word in each.split()}


KIND_WORDS: Final = _table()
"""A folded word -> the kind it names, and on which side of the name it usually stands."""


def _folded(*texts: str) -> frozenset[str]:
    return frozenset(fold(word) for text in texts for word in text.split())


LANES: Final = _folded("shoh шоҳ tor тор berk берк katta шох")
"""Words that stand before «koʻcha» and only say what sort of street it is."""

HOUSE: Final = _folded("uy уй uyi дом дома доме д house bino бино binosi h úy")
BUILDING: Final = _folded("korpus корпус корп stroeniye строение стр blok блок")
INSIDE: Final = _folded(
    "kv кв xonadon хонадон kvartira квартира квартире apartment apt flat podyezd подъезд pod qavat қават этаж etaj",
    "floor xona офис ofis office",
)
"""Words whose number tells a door inside a building, which no map shows."""

BESIDE: Final = _folded(
    "в на у с из по к за от до возле около рядом недалеко напротив near at in the",
    "yonida yonidagi yaqinida oldida qarshisida atrofida orqasida roʻparasida ёнида яқинида олдида қаршисида атрофида",
    "janında adres address адрес manzil manzili манзил trassa trassasi трасса трассе",
)
"""Words around a name that name nothing themselves."""

ENDINGS: Final = ("dagi", "dan", "da", "ning", "ga", "ka")
"""Of Uzbek cases, folded: «Urgutda», «Chilonzordan»."""

RUSSIAN_CASES: Final = {
    "skom": "skiy", "skogo": "skiy", "skomu": "skiy", "skim": "skiy", "skoy": "skaya", "skuyu": "skaya",
}  # fmt: skip
"""Endings of Russian names of districts and regions, folded, and those of the list: «в Чустском районе»."""

ORDINALS: Final = _folded("й я е ый ий ой ая го му ом inchi nchi chi инчи нчи чи i инши ınshı nshı shı th nd rd")

ABBREVIATIONS: Final = {
    "р-н": "район", "р-на": "район", "р-не": "район", "пр-т": "проспект", "пр-кт": "проспект", "пр-д": "проезд",
    "кв-л": "квартал", "м-в": "массив", "м-ва": "массив", "м-н": "массив", "мк-н": "микрорайон", "м-р": "микрорайон",
    "б-р": "бульвар", "ш-се": "шоссе", "г-к": "городок", "обл-ть": "область", "к-ча": "кўча", "кўч": "кўча",
    "т-н": "туман", "т-ни": "туман", "t-n": "tuman", "v-t": "viloyat", "в-т": "вилоят", "sh-r": "shahar",
    "ko'ch": "ko'cha", "m-v": "massiv", "kv-l": "kvartal", "б-ца": "больница", "ост": "остановка",
}  # fmt: skip
"""Shortened words as they are typed, and in full."""
