// The map's colours, read from the page's style sheet so that light and dark live in one place.

export interface MapTheme {
  readonly floor: string; readonly floorOdd: string; readonly edge: string;
  readonly wall: string; readonly wallFace: string; readonly water: string; readonly wave: string;
  readonly thing: string; readonly shine: string; readonly outline: string; readonly shadow: string;
  readonly ink: string; readonly panel: string; readonly line: string; readonly accent: string; readonly beam: string; readonly faint: string;
  readonly font: string;
}

export function readTheme(element: Element): MapTheme {
  const style = getComputedStyle(element);
  const at = (name: string): string => style.getPropertyValue(name).trim() || "#888";
  return {
    floor: at("--map-floor"), floorOdd: at("--map-floor-odd"), edge: at("--map-edge"),
    wall: at("--map-wall"), wallFace: at("--map-wall-face"), water: at("--map-water"), wave: at("--map-wave"),
    thing: at("--map-thing"), shine: at("--map-shine"), outline: at("--map-outline"), shadow: at("--map-shadow"),
    ink: at("--ink"), panel: at("--panel"), line: at("--line-strong"), accent: at("--accent"), beam: at("--map-beam"), faint: at("--ink-faint"),
    font: style.fontFamily || "sans-serif",
  };
}
