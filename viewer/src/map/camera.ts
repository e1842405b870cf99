// The view onto the map: cells to picture points and back, zoom, pan, fit. Pure; knows no canvas.

export interface Camera {
  /** Centre of the view, in cells. */
  readonly x: number;
  readonly y: number;
  /** Picture points a cell. */
  readonly cell: number;
}
export interface View { readonly width: number; readonly height: number }
export interface Extent { readonly width: number; readonly height: number }

export const LEAST_CELL = 2;
export const MOST_CELL = 96;

/** The camera that shows the whole map with `margin` points around it. */
export function fit(extent: Extent, view: View, margin: number): Camera {
  const cell = Math.min((view.width - 2 * margin) / extent.width, (view.height - 2 * margin) / extent.height);
  return { x: extent.width / 2, y: extent.height / 2, cell: Math.min(MOST_CELL, Math.max(0.5, cell)) };
}

/** Zooms by `factor` so that the cell under the point stays under it. */
export function zoomAt(camera: Camera, view: View, px: number, py: number, factor: number): Camera {
  const cell = Math.min(MOST_CELL, Math.max(LEAST_CELL, camera.cell * factor));
  const at = toCell(camera, view, px, py);
  return { x: at.x - (px - view.width / 2) / cell, y: at.y - (py - view.height / 2) / cell, cell };
}

/** Keeps the centre on the map, so that it cannot be lost. */
export function hold(camera: Camera, extent: Extent): Camera {
  return { ...camera, x: Math.min(extent.width, Math.max(0, camera.x)), y: Math.min(extent.height, Math.max(0, camera.y)) };
}

export function toCell(camera: Camera, view: View, px: number, py: number): { x: number; y: number } {
  return { x: camera.x + (px - view.width / 2) / camera.cell, y: camera.y + (py - view.height / 2) / camera.cell };
}

/** Picture point of a cell corner (0,0 is the map's upper left corner). */
export function toPoint(camera: Camera, view: View, x: number, y: number): { x: number; y: number } {
  return { x: (x - camera.x) * camera.cell + view.width / 2, y: (y - camera.y) * camera.cell + view.height / 2 };
}
