// Pictures of an episode, similar to those of glimpse_gym/rendering/scene.py: what was seen, the gaze, and the whole
// image with a scanpath. Sizes are in pixels of the canvas.

// Shared with the window, from glimpse_gym/rendering/appearance.py.
const {
  BACKGROUND,
  SCENE_BACKGROUND, // outside of the image
  UNSEEN, // blended with what was not seen, in a review
  UNSEEN_BLACK, // a pixel that was not seen, while playing
  TEXT,
  SCALE_COLORS,
  TIME_GRADIENT,
  UNSEEN_BRIGHTNESS,
  SCALE_DECAY,
  MEMORY_FADE,
  MEMORY_FADE_MOVING,
  MIN_MEMORY_BRIGHTNESS,
  MAX_MEMORY_MOVING,
} = APPEARANCE;
// Of the page alone.
const DOT = "rgb(66, 72, 96)";
const TRAIL_BRIGHTNESS = 0.3; // of the ball and the paddle of earlier steps, in a review

function css([red, green, blue], opacity = 1) {
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}

/** Blend two colors; 0 gives the first. */
function blend(first, second, weight) {
  return first.map((value, i) => value + (second[i] - value) * weight);
}

/** Color of one of `count` fixations. */
function timeColor(index, count) {
  const position = count > 1 ? ((TIME_GRADIENT.length - 1) * index) / (count - 1) : 0;
  const stop = Math.min(Math.floor(position), TIME_GRADIENT.length - 2);
  return blend(TIME_GRADIENT[stop], TIME_GRADIENT[stop + 1], position - stop).map(Math.round);
}

/** Make a canvas of gray values in [0, 1]. */
function grayPicture(values, width, height) {
  return picture(width, height, (i) => {
    const gray = 255 * values[i];
    return [gray, gray, gray];
  });
}

/** Make a canvas of the colors of its pixels. */
function picture(width, height, colorOf) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const data = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) data.data.set([...colorOf(i), 255], 4 * i);
  context.putImageData(data, 0, 0);
  return canvas;
}

/** Map of an image to a square with a margin: to pixels of equal size, unless that would leave much of it empty. */
class Frame {
  /**
   * @param {number} side of the square, in canvas pixels.
   * @param {{height: number, width: number}} image
   * @param {Retina} retina
   */
  constructor(side, image, retina) {
    this.side = side;
    this.image = image;
    this.retina = retina;
    const longest = Math.max(image.height, image.width);
    const fitting = (0.96 * side) / longest; // canvas pixels per pixel of the image
    this.factor = Math.floor(fitting) > 0.9 * fitting ? Math.floor(fitting) : fitting;
    this.width = Math.round(this.factor * image.width);
    this.height = Math.round(this.factor * image.height);
    this.left = Math.floor((side - this.width) / 2);
    this.top = Math.floor((side - this.height) / 2);
  }

  /** Location under a point of the canvas, which may be outside of the image. */
  toLocation(x, y) {
    return { x: (2 * (x - this.left)) / this.width - 1, y: (2 * (y - this.top)) / this.height - 1 };
  }

  /** Left, top, width and height of the patch of one scale, exactly as the retina sees it. */
  patch({ x, y }, scale) {
    const corner = this.retina.patchCorner(this.image, x, y, scale);
    const side = this.retina.patchSide(scale);
    const [left, right] = [corner.left, corner.left + side].map((column) => Math.round(this.factor * column));
    const [top, bottom] = [corner.top, corner.top + side].map((row) => Math.round(this.factor * row));
    return [this.left + left, this.top + top, right - left, bottom - top];
  }

  /** Center of the finest patch. */
  center(location) {
    const [left, top, width, height] = this.patch(location, 0);
    return [left + width / 2, top + height / 2];
  }

  /** Draw what surrounds the image, and restrict drawing to the image while `draw` runs. */
  fill(context, color, draw) {
    context.fillStyle = css(SCENE_BACKGROUND);
    context.fillRect(0, 0, this.side, this.side);
    context.fillStyle = css(color);
    context.fillRect(this.left, this.top, this.width, this.height);
    context.imageSmoothingEnabled = false;
    context.save();
    context.beginPath();
    context.rect(this.left, this.top, this.width, this.height);
    context.clip();
    draw();
    context.restore();
  }
}

/** Draw the glimpses so far and nothing else: finer patches cover coarser ones, later ones earlier ones. */
function drawGlimpses(context, frame, episode) {
  const first = episode.imageMoves ? Math.max(episode.glimpses.length - MAX_MEMORY_MOVING, 0) : 0;
  const glimpses = episode.glimpses.slice(first);
  const fixations = episode.fixations.slice(first);
  const { patchSize, numScales } = frame.retina;
  const fade = episode.imageMoves ? MEMORY_FADE_MOVING : MEMORY_FADE;
  frame.fill(context, UNSEEN_BLACK, () => {
    drawDots(context, frame);
    for (let scale = numScales - 1; scale >= 0; scale--) {
      glimpses.forEach((glimpse, i) => {
        const brightness = Math.max(fade ** (glimpses.length - 1 - i), MIN_MEMORY_BRIGHTNESS);
        const values = patchValues(glimpse, scale, patchSize, episode.imageMoves).map((value) => brightness * value);
        context.drawImage(grayPicture(values, patchSize, patchSize), ...frame.patch(fixations[i], scale));
      });
    }
  });
}

/** Values of the cells of one patch. Where images move, a single bright pixel stays visible in coarse cells. */
function patchValues(glimpse, scale, patchSize, imageMoves) {
  const values = glimpse.slice(scale * patchSize ** 2, (scale + 1) * patchSize ** 2);
  return imageMoves ? values.map(Math.sqrt) : values;
}

/** Cover the image with dots: a black pixel that was seen differs from one that was not. */
function drawDots(context, frame) {
  const distance = frame.side / 40;
  const size = Math.max(Math.round(frame.side / 380), 1);
  context.fillStyle = DOT;
  for (let y = frame.top + distance / 2; y < frame.top + frame.height; y += distance) {
    for (let x = frame.left + distance / 2; x < frame.left + frame.width; x += distance) {
      context.fillRect(Math.round(x), Math.round(y), size, size);
    }
  }
}

/** Draw the outlines of the patches at a location, the finest on top. */
function drawRetina(context, frame, location, unit) {
  for (let scale = frame.retina.numScales - 1; scale >= 0; scale--) {
    context.lineWidth = (scale ? 1.5 : 2.5) * unit;
    context.strokeStyle = css(SCALE_COLORS[scale % SCALE_COLORS.length], scale ? 0.75 : 1);
    context.strokeRect(...frame.patch(location, scale));
  }
}

/** Draw the patches of a glimpse side by side, the finest first, framed in the colors of their outlines. */
function drawPatches({ canvas, context, unit }, glimpse, retina, imageMoves) {
  const { patchSize, numScales } = retina;
  const [edge, gap] = [2 * unit, 10 * unit];
  const side = Math.floor(Math.min(canvas.height, (canvas.width - (numScales - 1) * gap) / numScales) - 2 * edge);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  for (let scale = 0; scale < numScales; scale++) {
    const left = Math.round(scale * (side + 2 * edge + gap));
    context.fillStyle = css(SCALE_COLORS[scale % SCALE_COLORS.length]);
    context.fillRect(left, 0, side + 2 * edge, side + 2 * edge);
    const values = patchValues(glimpse, scale, patchSize, imageMoves);
    context.drawImage(grayPicture(values, patchSize, patchSize), left + edge, edge, side, side);
  }
}

/** Draw the whole image, dimmed where it was not seen, with the scanpath of the first `count` glimpses. */
function drawReview(context, frame, episode, count, unit) {
  const fixations = episode.fixations.slice(0, count);
  const image = episode.imageMoves ? withTrail(episode.images, count) : episode.images[0].pixels;
  const seen = finestScales(frame, episode.imageMoves ? fixations.slice(-1) : fixations);
  const { width, height } = frame.image;
  const shown = picture(width, height, (i) => {
    const brightness = seen[i] < 0 ? 0 : SCALE_DECAY ** seen[i];
    return blend(UNSEEN, [image[i], image[i], image[i]], UNSEEN_BRIGHTNESS + (1 - UNSEEN_BRIGHTNESS) * brightness);
  });
  frame.fill(context, UNSEEN, () => context.drawImage(shown, frame.left, frame.top, frame.width, frame.height));
  if (episode.imageMoves) {
    drawRetina(context, frame, fixations[count - 1], unit);
    drawPath(context, frame, fixations.slice(-8), unit);
  } else drawNumberedPath(context, frame, fixations, episode.world.horizon, unit);
}

/** Latest of some images, uint8, with a dim trail of the earlier ones. */
function withTrail(images, count) {
  const latest = images[count - 1].pixels.slice();
  for (const { pixels } of images.slice(0, count - 1)) {
    pixels.forEach((value, i) => (latest[i] = Math.max(latest[i], TRAIL_BRIGHTNESS * value)));
  }
  return latest;
}

/** Finest scale at which each pixel was seen; -1 if it was not. */
function finestScales({ image, retina }, fixations) {
  const scales = new Int8Array(image.height * image.width).fill(-1);
  for (let scale = retina.numScales - 1; scale >= 0; scale--) {
    const side = retina.patchSide(scale);
    for (const { x, y } of fixations) {
      const { top, left } = retina.patchCorner(image, x, y, scale);
      for (let row = Math.max(top, 0); row < Math.min(top + side, image.height); row++) {
        const [start, end] = [Math.max(left, 0), Math.min(left + side, image.width)];
        if (end > start) scales.fill(scale, row * image.width + start, row * image.width + end);
      }
    }
  }
  return scales;
}

/** Draw fixations numbered from 1, with their finest patches, in colors of time; `total` fixations span all colors. */
function drawNumberedPath(context, frame, fixations, total, unit) {
  const radius = 9 * unit;
  fixations.forEach((location, i) => {
    context.lineWidth = 1.5 * unit;
    context.strokeStyle = css(timeColor(i, total), 0.9);
    context.strokeRect(...frame.patch(location, 0));
  });
  fixations.slice(1).forEach((location, i) => {
    context.lineWidth = 2.5 * unit;
    context.strokeStyle = css(timeColor(i + 1, total), 0.9);
    drawLine(context, [frame.center(fixations[i]), frame.center(location)]);
  });
  context.font = `600 ${Math.round(11.5 * unit)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  fixations.forEach((location, i) => {
    const [x, y] = frame.center(location);
    drawDot(context, x, y, radius + 1.5 * unit, css(BACKGROUND));
    drawDot(context, x, y, radius, css(timeColor(i, total)));
    context.fillStyle = css(BACKGROUND);
    context.fillText(String(i + 1), x, y + 0.5 * unit);
  });
}

/** Draw fixations as connected dots, the last one highlighted. */
function drawPath(context, frame, fixations, unit) {
  const points = fixations.map((location) => frame.center(location));
  context.lineWidth = 2 * unit;
  context.strokeStyle = css(TEXT, 0.45);
  drawLine(context, points);
  points.forEach(([x, y], i) => {
    const isLast = i === points.length - 1;
    drawDot(context, x, y, (isLast ? 5 : 3) * unit, isLast ? css(SCALE_COLORS[0]) : css(TEXT, 0.6));
  });
}

function drawLine(context, points) {
  context.beginPath();
  points.forEach(([x, y]) => context.lineTo(x, y));
  context.stroke();
}

function drawDot(context, x, y, radius, color) {
  context.fillStyle = color;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}
