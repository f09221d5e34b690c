// The ground under the work: region outlines and roads, drawn from our own server's tiles and nothing else.
// There is no glyph server: without `glyphs` MapLibre draws labels from the page's bundled Noto Sans.

import type { ExpressionSpecification, StyleSpecification } from 'maplibre-gl';
import type { Language, RegionAbout } from '../wire';

export type Paint = (token: string) => string;

/** Uzbekistan with a margin: no tile outside it is ever asked for. */
const COUNTRY: [number, number, number, number] = [55.5, 37.0, 73.4, 45.8];
const MAJOR_ROADS = ['trunk', 'primary', 'secondary'];
const FONT = ['Noto Sans'];

export function basemap(origin: string, paint: Paint, lang: Language, regions: RegionAbout[]): StyleSpecification {
  return {
    version: 8,
    sources: {
      regions: { type: 'geojson', data: `${origin}/map/regions.geojson` },
      tiles: {
        type: 'vector',
        tiles: [`${origin}/map/tiles/{z}/{x}/{y}.mvt`],
        minzoom: 4,
        maxzoom: 14,
        bounds: COUNTRY,
      },
    },
    transition: { duration: 0, delay: 0 },
    layers: [
      { id: 'ground', type: 'background', paint: { 'background-color': paint('--map-ground') } },
      { id: 'land', type: 'fill', source: 'regions', paint: { 'fill-color': paint('--map-land') } },
      ...roads(paint),
      {
        id: 'borders',
        type: 'line',
        source: 'regions',
        paint: { 'line-color': paint('--map-border'), 'line-width': 1.2, 'line-dasharray': [4, 2] },
      },
      ...labels(paint, lang, regions),
    ],
  };
}

function roads(paint: Paint): StyleSpecification['layers'] {
  const major: ExpressionSpecification = ['in', ['get', 'class'], ['literal', MAJOR_ROADS]];
  const source = { type: 'line', source: 'tiles', 'source-layer': 'roads' } as const;
  return [
    {
      ...source,
      id: 'roads-minor',
      minzoom: 9,
      filter: ['!', major],
      layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: {
        'line-color': paint('--map-road-minor'),
        'line-width': ['interpolate', ['exponential', 1.5], ['zoom'], 9, 0.6, 13, 1.6, 17, 9],
      },
    },
    {
      ...source,
      id: 'roads-major',
      filter: major,
      layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: {
        'line-color': paint('--map-road-major'),
        'line-width': ['interpolate', ['exponential', 1.5], ['zoom'], 5, 1, 10, 1.8, 13, 3, 17, 14],
      },
    },
  ];
}

function labels(paint: Paint, lang: Language, regions: RegionAbout[]): StyleSpecification['layers'] {
  const text = { 'text-color': paint('--map-label'), 'text-halo-color': paint('--map-halo'), 'text-halo-width': 1.4 };
  const named: ExpressionSpecification = [
    'coalesce',
    ['get', lang],
    ['get', 'uz-Latn'],
    '',
  ];
  return [
    {
      id: 'places',
      type: 'symbol',
      source: 'tiles',
      'source-layer': 'places',
      layout: {
        'text-field': named,
        'text-font': FONT,
        'text-size': ['interpolate', ['linear'], ['zoom'], 5, 11, 12, 13],
        'symbol-sort-key': ['-', 0, ['coalesce', ['get', 'population'], 0]],
        'text-padding': 6,
        // Below its point: the middle belongs to the incident that is found there.
        'text-anchor': 'top',
        'text-offset': [0, 0.5],
      },
      // Names of places step back where the units' own names begin.
      paint: { ...text, 'text-opacity': ['interpolate', ['linear'], ['zoom'], 11, 1, 12, 0.7] },
    },
    {
      id: 'region-names',
      type: 'symbol',
      source: 'regions',
      maxzoom: 8,
      layout: {
        'text-field': regionName(lang, regions),
        'text-font': FONT,
        'text-size': 12,
        'text-letter-spacing': 0.06,
        'text-padding': 10,
      },
      paint: { ...text, 'text-opacity': 0.85 },
    },
  ];
}

function regionName(lang: Language, regions: RegionAbout[]): ExpressionSpecification | string {
  const pairs = regions.flatMap((one) => [one.region, one.names[lang] ?? one.names['uz-Latn'] ?? one.region]);
  if (pairs.length === 0) return '';
  return ['match', ['get', 'region'], ...pairs, ''] as unknown as ExpressionSpecification;
}
