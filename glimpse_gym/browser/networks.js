// The networks of the recurrent attention model; see agents/networks.py. Weights and activations are float32, sums
// float64. A tensor is {shape: number[], values: Float32Array}, row by row.

/** The tensors of a module whose names start with "NAME.", without that start. */
function tensorsOf(tensors, name) {
  const start = `${name}.`;
  const own = Object.entries(tensors).filter(([key]) => key.startsWith(start));
  return Object.fromEntries(own.map(([key, tensor]) => [key.slice(start.length), tensor]));
}

/** Compute weight @ input + bias: Float32Array. */
function linear(weight, bias, input) {
  const [rows, columns] = weight.shape;
  const output = new Float32Array(rows);
  for (let i = 0; i < rows; i++) {
    let total = bias.values[i];
    const first = i * columns;
    for (let j = 0; j < columns; j++) total += weight.values[first + j] * input[j];
    output[i] = total;
  }
  return output;
}

/** Apply a linear layer, tensors `weight` and `bias`. */
function applyLinear(layer, input) {
  return linear(layer.weight, layer.bias, input);
}

/** Apply ReLU units in place. */
function relu(values) {
  for (let i = 0; i < values.length; i++) values[i] = Math.max(values[i], 0);
  return values;
}

function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

/** Compute probabilities from logits: Float32Array. */
function softmax(logits) {
  const highest = Math.max(...logits);
  const exponentials = Array.from(logits, (logit) => Math.exp(logit - highest));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return Float32Array.from(exponentials, (value) => value / total);
}

/** Index of the largest value, the first of equals. */
function argmax(values) {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}

/** The paper's glimpse encoder: one fully connected layer of ReLU units. */
class FCGlimpseEncoder {
  constructor(tensors) {
    this._layer = tensors;
  }

  apply(glimpse) {
    return relu(applyLinear(this._layer, glimpse));
  }
}

/**
 * Convolutional glimpse encoder: 4 x 4 at stride 2, 2 x 2 at stride 2, then a fully connected layer, with ReLU units.
 * The glimpse is zero-padded by one cell, and further to a multiple of four cells.
 */
class ConvGlimpseEncoder {
  constructor(tensors, depth, size) {
    [this._first, this._second, this._linear] = ["first", "second", "linear"].map((name) => tensorsOf(tensors, name));
    this._depth = depth;
    this._size = size;
    this._padded = 4 * Math.ceil(size / 4) + 2; // cells on each side
  }

  apply(glimpse) {
    const first = convolve(this._pad(glimpse), this._padded, this._depth, 4, this._first);
    const filters = this._first.weight.shape[0];
    const second = convolve(first, (this._padded - 2) / 2, filters, 2, this._second);
    return relu(applyLinear(this._linear, second));
  }

  /** Reorder (channel, row, column) to (row, column, channel), with zeros around. */
  _pad(glimpse) {
    const padded = new Float32Array(this._padded ** 2 * this._depth);
    for (let i = 0; i < glimpse.length; i++) {
      const channel = Math.floor(i / this._size ** 2);
      const row = Math.floor(i / this._size) % this._size;
      const column = i % this._size;
      padded[((row + 1) * this._padded + column + 1) * this._depth + channel] = glimpse[i];
    }
    return padded;
  }
}

/**
 * Convolve at stride 2 and apply ReLU units.
 * @param {Float32Array} input side * side * depth values in the order (row, column, channel).
 * @param {number} side
 * @param {number} depth
 * @param {number} window rows and columns of a filter.
 * @param {{weight, bias}} layer weights in the order (filter, row, column, channel).
 * @returns {Float32Array} in the order (row, column, filter).
 */
function convolve(input, side, depth, window, layer) {
  const steps = (side - window) / 2 + 1;
  const filters = layer.weight.shape[0];
  const output = new Float32Array(steps * steps * filters);
  const values = new Float32Array(window * window * depth);
  for (let i = 0; i < steps * steps; i++) {
    const row = 2 * Math.floor(i / steps);
    const column = 2 * (i % steps);
    for (let y = 0; y < window; y++) {
      const first = ((row + y) * side + column) * depth;
      values.set(input.subarray(first, first + window * depth), y * window * depth);
    }
    output.set(applyLinear(layer, values), i * filters);
  }
  return relu(output);
}

/** Glimpse network: maps a glimpse and its location to features. */
class GlimpseNetwork {
  constructor(tensors, config) {
    const what = tensorsOf(tensors, "what");
    const [depth, size] = config.glimpseShape;
    const isConv = config.glimpseNetwork === "conv";
    this._what = isConv ? new ConvGlimpseEncoder(what, depth, size) : new FCGlimpseEncoder(what);
    [this._where, this._whatOut, this._whereOut] = ["where", "what_out", "where_out"].map((name) =>
      tensorsOf(tensors, name),
    );
    this._gain = config.scaleGain;
    this._cells = size * size;
  }

  apply(glimpse, x, y) {
    const scaled = glimpse.map((value, i) => value * Math.fround(this._gain ** Math.floor(i / this._cells)));
    const what = applyLinear(this._whatOut, this._what.apply(scaled));
    const where = applyLinear(this._whereOut, relu(applyLinear(this._where, [x, y])));
    return relu(what.map((value, i) => value + where[i]));
  }
}

/** Core of ReLU units, whose state is {hidden}. */
class ReLUCore {
  constructor(tensors) {
    [this._hidden, this._input] = ["hidden", "input"].map((name) => tensorsOf(tensors, name));
    this._units = this._hidden.weight.shape[0];
  }

  initialState() {
    return { hidden: new Float32Array(this._units) };
  }

  apply(features, { hidden }) {
    const carried = applyLinear(this._hidden, hidden);
    return { hidden: relu(applyLinear(this._input, features).map((value, i) => value + carried[i])) };
  }
}

/** Core of gated recurrent units, whose state is {hidden}; the order of the gates is reset, update, new. */
class GRUCore {
  constructor(tensors) {
    this._cell = tensorsOf(tensors, "cell");
    this._units = this._cell.weight_hh.shape[1];
  }

  initialState() {
    return { hidden: new Float32Array(this._units) };
  }

  apply(features, { hidden }) {
    const n = this._units;
    const input = linear(this._cell.weight_ih, this._cell.bias_ih, features);
    const carried = linear(this._cell.weight_hh, this._cell.bias_hh, hidden);
    const next = hidden.map((old, i) => {
      const reset = sigmoid(input[i] + carried[i]);
      const update = sigmoid(input[n + i] + carried[n + i]);
      const candidate = Math.tanh(input[2 * n + i] + reset * carried[2 * n + i]);
      return (1 - update) * candidate + update * old;
    });
    return { hidden: next };
  }
}

/** Core of an LSTM, whose state is {hidden, cell}; the order of the gates is input, forget, cell, output. */
class LSTMCore {
  constructor(tensors) {
    this._cell = tensorsOf(tensors, "cell");
    this._units = this._cell.weight_hh.shape[1];
  }

  initialState() {
    return { hidden: new Float32Array(this._units), cell: new Float32Array(this._units) };
  }

  apply(features, { hidden, cell }) {
    const n = this._units;
    const carried = linear(this._cell.weight_hh, this._cell.bias_hh, hidden);
    const gates = linear(this._cell.weight_ih, this._cell.bias_ih, features).map((value, i) => value + carried[i]);
    const nextCell = cell.map(
      (old, i) => sigmoid(gates[n + i]) * old + sigmoid(gates[i]) * Math.tanh(gates[2 * n + i]),
    );
    return { hidden: nextCell.map((value, i) => sigmoid(gates[3 * n + i]) * Math.tanh(value)), cell: nextCell };
  }
}

const CORES = { relu: ReLUCore, gru: GRUCore, lstm: LSTMCore };
