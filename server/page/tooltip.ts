/** A small card beside the pointer; screen readers hear it when the keyboard moves it. */
import { element, setText } from './dom.ts';

export interface Tooltip {
  /** Shows the card beside a point of its parent. */
  show(x: number, y: number, title: string, rows: readonly (readonly [label: string, value: string])[]): void;
  hide(): void;
}

const distance = 14;

export function createTooltip(parent: HTMLElement): Tooltip {
  const title = element('strong');
  const list = element('dl');
  const root = element('div', { class: 'tooltip', 'aria-live': 'polite' }, [title, list]);
  root.hidden = true;
  parent.append(root);
  return {
    show(x, y, heading, rows) {
      setText(title, heading);
      list.replaceChildren(
        ...rows.flatMap(([label, value]) => [element('dt', {}, [label]), element('dd', {}, [value])]),
      );
      root.hidden = false;
      const { width: wide } = parent.getBoundingClientRect();
      const { width, height } = root.getBoundingClientRect();
      // On the other side of the pointer where it would leave the picture.
      const left = x + distance + width > wide ? Math.max(0, x - distance - width) : x + distance;
      root.style.transform = `translate(${Math.round(left)}px, ${Math.round(Math.max(0, y - height / 2))}px)`;
    },
    hide() {
      root.hidden = true;
    },
  };
}
