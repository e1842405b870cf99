// The handle by which keys and buttons move the map's camera; the stage that is on screen takes it.

export interface ViewHandle { zoom(factor: number): void; pan(dx: number, dy: number): void; fit(): void }

let stage: ViewHandle | null = null;

export function takeView(handle: ViewHandle | null): void {
  stage = handle;
}

export const view: ViewHandle = {
  zoom: (factor) => stage?.zoom(factor),
  pan: (dx, dy) => stage?.pan(dx, dy),
  fit: () => stage?.fit(),
};
