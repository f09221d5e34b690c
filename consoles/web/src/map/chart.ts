// The map itself: MapLibre for the ground, two canvases for what moves. Loaded after the queue stands.

import { Map as Ground, setWorkerUrl } from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import type { ClosurePreview, ClosureRow, IncidentRow, Language, RegionAbout, UnitCell } from '../wire';
import type { Positions } from '../positions';
import { basemap } from './basemap';
import type { Paint } from './basemap';
import { paintClosures } from './closures';
import { nearest, paintIncidents, paintUnits } from './layers';
import type { Spot, View } from './layers';
import './chart.css';

setWorkerUrl(workerUrl);

/** Positions are painted at most twice a second, incidents a little oftener; a pan repaints at once. */
const POSITIONS_MS = 500;
const INCIDENTS_MS = 200;
const REACH_PX = 16;
/** Room around what is brought into view together, for pins and call signs; and how near that may come. */
const INCLUDE_PX = { top: 90, bottom: 80, left: 80, right: 100 };
const INCLUDE_ZOOM = 13;
const EARTH_M = 40_075_016.7;
const TILE_PX = 512;

export interface Scene {
  units: readonly UnitCell[];
  positions: Positions;
  incidents: readonly IncidentRow[];
  selectedUnit: string | null;
  selectedIncident: string | null;
  advised: readonly string[];
  closures: readonly ClosureRow[];
  preview: ClosurePreview | null;
  markedClosure: string | null;
  /** Service time in milliseconds: a closure may be still to come. */
  servedAt: number;
  /** A click means the place itself, not what stands there. */
  pointing: boolean;
}
export interface Picks {
  place(lon: number, lat: number): void;
  closure(id: string): void;
  incident(id: string): void;
  unit(id: string): void;
}
export type Box = [number, number, number, number];

export class Chart {
  private readonly ground: Ground;
  private readonly closureCanvas: HTMLCanvasElement;
  private readonly unitCanvas: HTMLCanvasElement;
  private readonly incidentCanvas: HTMLCanvasElement;
  private colours = new Map<string, string>();
  private scene: Scene | null = null;
  private unitSpots: Spot[] = [];
  private incidentSpots: Spot[] = [];
  private closureSpots: Spot[] = [];
  private paintedAt = 0;
  private waiting: number | undefined;
  private frame = 0;

  constructor(
    private readonly box: HTMLElement,
    picks: Picks,
    start: { bounds: Box; language: Language; regions: RegionAbout[]; title: string },
  ) {
    this.ground = new Ground({
      container: box,
      style: basemap(location.origin, this.paint, start.language, start.regions),
      bounds: start.bounds,
      fitBoundsOptions: { padding: 24 },
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      fadeDuration: 0,
      maxZoom: 17,
      minZoom: 4,
      locale: { 'Map.Title': start.title },
    });
    this.ground.touchZoomRotate.disableRotation();
    this.closureCanvas = this.addCanvas('closures');
    this.unitCanvas = this.addCanvas('units');
    this.incidentCanvas = this.addCanvas('incidents');
    this.ground.on('move', () => this.repaint());
    this.ground.on('resize', () => this.repaint());
    this.ground.on('click', ({ point, lngLat }) => {
      if (this.scene?.pointing) picks.place(lngLat.lng, lngLat.lat);
      else this.pick(point.x, point.y, picks);
    });
    this.ground.on('mousemove', (event) => this.hover(event.point.x, event.point.y));
    // A tile that is missing leaves plain ground, which is a normal state; the map says nothing of it.
    this.ground.on('error', () => undefined);
    this.ground.once('idle', () => (box.dataset.settled = ''));
  }

  show(scene: Scene): void {
    const chosen =
      scene.selectedIncident !== this.scene?.selectedIncident ||
      scene.selectedUnit !== this.scene?.selectedUnit ||
      scene.preview !== this.scene?.preview ||
      scene.markedClosure !== this.scene?.markedClosure ||
      scene.advised.join() !== this.scene?.advised.join();
    const pause = scene.incidents === this.scene?.incidents ? POSITIONS_MS : INCIDENTS_MS;
    this.scene = scene;
    this.box.toggleAttribute('data-pointing', scene.pointing);
    const due = this.paintedAt + pause - performance.now();
    if (chosen || due <= 0) this.repaint();
    else this.waiting ??= window.setTimeout(() => this.repaint(), due);
  }

  /** Take the colours of the theme and the words of the language anew. */
  dress(language: Language, regions: RegionAbout[]): void {
    this.colours.clear();
    this.ground.setStyle(basemap(location.origin, this.paint, language, regions));
    this.repaint();
  }

  fit(bounds: Box): void {
    this.ground.fitBounds(bounds, { padding: 24, duration: 400 });
  }

  zoom(step: 1 | -1): void {
    if (step > 0) this.ground.zoomIn();
    else this.ground.zoomOut();
  }

  /** Bring a point into view, moving no more than needed. */
  look(lon: number, lat: number): void {
    const { x, y } = this.ground.project([lon, lat]);
    const { clientWidth, clientHeight } = this.box;
    const margin = 60;
    const inside = x > margin && y > margin && x < clientWidth - margin && y < clientHeight - margin;
    const close = this.ground.getZoom() >= 10.5;
    if (inside && close) return;
    this.ground.easeTo({ center: [lon, lat], zoom: Math.max(this.ground.getZoom(), 12), duration: 350 });
  }

  /** Widen the view, if need be, until all of these points, (lon, lat), are in it; the left so many pixels are taken. */
  include(points: readonly (readonly [number, number])[], taken = 0): void {
    const [lons, lats] = [points.map((point) => point[0]), points.map((point) => point[1])];
    const box: Box = [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
    const padding = { ...INCLUDE_PX, left: INCLUDE_PX.left + taken };
    this.ground.fitBounds(box, { padding, maxZoom: INCLUDE_ZOOM, duration: 350 });
  }

  remove(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.waiting);
    this.ground.remove();
  }

  private readonly paint: Paint = (token) => {
    const known = this.colours.get(token);
    if (known) return known;
    const colour = getComputedStyle(document.documentElement).getPropertyValue(token).trim();
    this.colours.set(token, colour);
    return colour;
  };

  private addCanvas(name: string): HTMLCanvasElement {
    const canvas = document.createElement('canvas');
    canvas.className = `layer ${name}`;
    canvas.setAttribute('aria-hidden', 'true');
    this.ground.getCanvasContainer().append(canvas);
    return canvas;
  }

  private repaint(): void {
    clearTimeout(this.waiting);
    this.waiting = undefined;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paintNow();
    });
  }

  private paintNow(): void {
    const scene = this.scene;
    if (!scene) return;
    const now = performance.now();
    this.paintedAt = now;
    const view = this.view();
    const incident = scene.incidents.find((row) => row.incident_id === scene.selectedIncident) ?? null;
    const closures = this.clear(this.closureCanvas, view);
    const units = this.clear(this.unitCanvas, view);
    const incidents = this.clear(this.incidentCanvas, view);
    if (!closures || !units || !incidents) return;
    const roads = { rows: scene.closures, preview: scene.preview, marked: scene.markedClosure, now: scene.servedAt };
    this.closureSpots = paintClosures(closures, view, roads, this.paint);
    const { units: cells, positions, selectedUnit: selected, advised } = scene;
    const unitScene = { units: cells, positions, now, selected, incident, advised };
    this.unitSpots = paintUnits(units, view, unitScene, this.paint);
    const incidentScene = { rows: scene.incidents, selected: scene.selectedIncident };
    this.incidentSpots = paintIncidents(incidents, view, incidentScene, this.paint);
    this.box.dataset.units = String(this.unitSpots.length);
    this.box.dataset.closures = String(this.closureSpots.length);
    this.box.dataset.incidents = String(this.incidentSpots.length);
  }

  private view(): View {
    const zoom = this.ground.getZoom();
    const perPixel = EARTH_M / (TILE_PX * 2 ** zoom);
    return {
      project: (lon, lat) => this.ground.project([lon, lat]),
      zoom,
      width: this.box.clientWidth,
      height: this.box.clientHeight,
      metresPerPixel: (lat) => perPixel * Math.cos((lat * Math.PI) / 180),
    };
  }

  private clear(canvas: HTMLCanvasElement, view: View): CanvasRenderingContext2D | null {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const ctx = canvas.getContext('2d');
    ctx?.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx?.clearRect(0, 0, view.width, view.height);
    return ctx;
  }

  private pick(x: number, y: number, picks: Picks): void {
    const incident = nearest(this.incidentSpots, x, y, REACH_PX);
    const unit = incident ? null : nearest(this.unitSpots, x, y, REACH_PX);
    const closure = incident || unit ? null : nearest(this.closureSpots, x, y, REACH_PX);
    if (incident) picks.incident(incident);
    else if (unit) picks.unit(unit);
    else if (closure) picks.closure(closure);
  }

  private hover(x: number, y: number): void {
    const spots = [this.incidentSpots, this.unitSpots, this.closureSpots];
    const over = spots.some((each) => nearest(each, x, y, REACH_PX) !== null);
    this.ground.getCanvas().style.cursor = this.scene?.pointing ? 'crosshair' : over ? 'pointer' : '';
  }
}
