// Light or dark: the workplace's own choice, else what the machine says.

export type Theme = 'light' | 'dark';
const REMEMBERED = 'dispatch112.theme';

class Look {
  theme = $state<Theme>('dark');
}
export const look = new Look();

export function startTheme(): void {
  const remembered = localStorage.getItem(REMEMBERED);
  const dark = remembered ? remembered === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  apply(dark ? 'dark' : 'light');
}

export function switchTheme(): void {
  apply(look.theme === 'dark' ? 'light' : 'dark');
  localStorage.setItem(REMEMBERED, look.theme);
}

function apply(theme: Theme): void {
  look.theme = theme;
  document.documentElement.dataset.theme = theme;
}
