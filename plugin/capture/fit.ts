/**
 * Lets fit and fitDataset hand the model to a monitor wherever it stands among the callbacks.
 *
 * TensorFlow.js takes an array of callbacks as it is when the first is a `Callback`, and then fails on a plain object in it;
 * otherwise it wraps every one in a `CustomCallback`, which takes the model from a monitor and breaks EarlyStopping. So both
 * methods are wrapped, once, when the first monitor is made: an array with a monitor in it reaches them with its plain objects,
 * and only these, as CustomCallbacks. Without a monitor among its callbacks a fit is what it was. Only the copy of
 * @tensorflow/tfjs-layers that this package resolves is touched; with another, `monitor.attach(model)` hands over the model.
 */
import { Callback, CustomCallback, LayersModel } from '@tensorflow/tfjs-layers';

/** What fit and fitDataset take last, as far as it matters here. */
interface FitArguments {
  readonly callbacks?: unknown;
  readonly yieldEvery?: ConstructorParameters<typeof CustomCallback>[1];
}

type Fit = (this: LayersModel, ...parameters: unknown[]) => Promise<unknown>;

let isOpen = false;

/** Wraps fit and fitDataset for the rest of the process. `isMonitor` tells who is to get the model. */
export function openFitToMonitors(isMonitor: (callback: unknown) => boolean): void {
  if (isOpen) return;
  isOpen = true;
  const methods = LayersModel.prototype as unknown as Record<'fit' | 'fitDataset', Fit>;
  for (const name of ['fit', 'fitDataset'] as const) {
    const original = methods[name];
    const last = name === 'fit' ? 2 : 1;
    methods[name] = function (this: LayersModel, ...parameters) {
      const args = parameters[last] as FitArguments | null | undefined;
      const callbacks = args?.callbacks;
      if (!Array.isArray(callbacks) || !callbacks.some(isMonitor)) return original.apply(this, parameters);
      try {
        const mixed = { ...args, callbacks: asCallbacks(callbacks, args?.yieldEvery) };
        return original.apply(this, parameters.with(last, mixed));
      } catch (error) {
        return Promise.reject(error); // as an async method does
      }
    };
  }
}

/** Plain objects as CustomCallbacks; callbacks of any copy of TensorFlow.js as they are. */
function asCallbacks(callbacks: readonly unknown[], yieldEvery: FitArguments['yieldEvery']): object[] {
  const list = callbacks.map((callback) =>
    isCallback(callback)
      ? callback
      : new CustomCallback(callback as ConstructorParameters<typeof CustomCallback>[0], yieldEvery),
  );
  // The first decides how all are taken, and one of another copy would not pass.
  return list[0] instanceof BaseCallback ? list : [new CustomCallback({}, 'never'), ...list];
}

/** Not exported by TensorFlow.js. */
const BaseCallback = Object.getPrototypeOf(Callback) as new () => object;

function isCallback(value: unknown): value is object {
  const { setParams, setModel } = (value ?? {}) as { setParams?: unknown; setModel?: unknown };
  return typeof setParams === 'function' && typeof setModel === 'function';
}
