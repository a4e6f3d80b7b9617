// The colour of each point in each mode.

const luminance = ([r, g, b]) => (0.2126 * r * r + 0.7152 * g * g + 0.0722 * b * b) / 65025;

// A class colour, moved towards black or white until it stands off the ground of the canvas.
function legible(colour, ground) {
  const towards = luminance(ground) > 0.4 ? 0 : 255;
  for (let mix = 0; ; mix += 0.05) {
    const moved = colour.map((channel) => channel + (towards - channel) * mix);
    const [dark, light] = [luminance(moved), luminance(ground)].sort((a, b) => a - b);
    if (mix > 0.6 || (light + 0.05) / (dark + 0.05) > 1.7) return moved;
  }
}

// The colours of the page as it is now, light or dark.
function paletteOf(viewer, classes) {
  const style = getComputedStyle(viewer);
  const css = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number);
  const named = ["quiet", "loud", "middle", "strong"].map((name) => [name, css(`--point-${name}`)]);
  const legibles = classes.colours.map((colour) => legible(colour, css("--ground")));
  return { ...Object.fromEntries(named), classes: legibles };
}

// 256 colours from one to another.
const ramp = (from, to) =>
  Array.from({ length: 256 }, (_, level) => from.map((low, k) => low + ((to[k] - low) * level) / 255));

// i -> [r, g, b], or null where the mode leaves the point out. palette: as paletteOf gives it.
function colouring(mode, cloud, classes, palette) {
  const { prediction, truth, text, likeness, confidence } = cloud, { quiet, loud, middle, strong } = palette;
  const absent = () => null;
  switch (mode) {
    case "prediction": return (i) => palette.classes[prediction[i]];
    case "truth": return truth ? (i) => palette.classes[truth[i]] ?? null : absent;
    case "error": {
      const judged = (i) => (truth[i] === prediction[i] ? quiet : loud);
      return truth ? (i) => (truth[i] === classes.ignore ? null : judged(i)) : absent;
    }
    case "confidence": {
      const unsure = ramp(quiet, loud); // all of it at 50 %
      return confidence ? (i) => unsure[Math.min(255, 2 * (255 - confidence[i]))] : absent;
    }
    case "likeness": {
      const like = ramp(quiet, loud);
      return likeness ? (i) => like[likeness[i]] : absent;
    }
    default: return text ? (i) => (text[i] >= 2 ? strong : text[i] === 1 ? middle : quiet) : absent;
  }
}

// A class that is hidden takes the points with it that are of no other class, predicted or true.
function showing(cloud, hidden) {
  const { prediction, truth } = cloud;
  if (!hidden.size) return () => true;
  return (i) => !hidden.has(prediction[i]) || (truth !== null && truth[i] !== 255 && !hidden.has(truth[i]));
}
